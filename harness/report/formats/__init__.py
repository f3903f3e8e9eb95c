"""One report model written as HTML, PDF and Markdown."""
