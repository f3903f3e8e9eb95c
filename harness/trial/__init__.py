"""One replica inside its worker: prepare, measure, judge, and put the record's metrics together."""
