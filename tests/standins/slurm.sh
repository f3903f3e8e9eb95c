#!/usr/bin/env bash
# A real Slurm on one host: munged, slurmctld and slurmd for each node, with all state in one folder. Root only.
#   slurm.sh up DIR [NODES]      starts it; prints the path of its slurm.conf
#   slurm.sh kill DIR NODE       kills a node's daemon, and leaves its jobs running
#   slurm.sh start DIR NODE      starts it again
#   slurm.sh down DIR            stops what DIR's process ids name, and the job steps left of it
set -euo pipefail
verb=$1 dir=$(realpath -m "$2")
conf=$dir/slurm.conf
export SLURM_CONF=$conf

start_node() { slurmd -N "$1" -f "$conf" -c; }

stop() { # PIDFILE SIGNAL
  local pid
  [ -s "$1" ] && pid=$(cat "$1") && kill -0 "$pid" 2>/dev/null || return 0
  kill "$2" "$pid"
  for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.1; done
  kill -KILL "$pid" 2>/dev/null || true
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

write_conf() { # NODES
  local host cpus memory
  host=$(hostname -s) cpus=$(nproc) memory=$(($(awk '/MemTotal/{print $2}' /proc/meminfo) / 1024 - 200))
  cat <<CONF
ClusterName=joulemark
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd.%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.%n.log
ReturnToService=2
SlurmdTimeout=10
SlurmctldTimeout=10
KillWait=5
OverTimeLimit=0
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=sched_interval=2,batch_sched_delay=0
PropagateResourceLimits=NONE
SlurmdParameters=config_overrides
CONF
  for number in $(seq "$1"); do
    echo "NodeName=n$number NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=$cpus RealMemory=$memory"
  done
  echo "PartitionName=low Nodes=n[1-$1] Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=3"
  echo "PartitionName=high Nodes=n[1-$1] MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF"
}

case $verb in
up)
  nodes=${3:-2}
  mkdir -p "$dir"/{munge,state,spool,log,run}
  chmod 755 "$dir"
  dd if=/dev/urandom of="$dir/munge/key" bs=1024 count=1 status=none
  chmod 400 "$dir/munge/key"
  chmod 711 "$dir/munge"
  munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/run/munged.pid" \
    --log-file="$dir/log/munged.log" --seed-file="$dir/munge/seed" --num-threads=2 2>"$dir/log/munged.err"
  write_conf "$nodes" >"$conf"
  printf 'CgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\n' >"$dir/cgroup.conf"
  slurmctld -f "$conf" -c 2>"$dir/log/slurmctld.err"
  for number in $(seq "$nodes"); do start_node "n$number"; done
  for _ in $(seq 300); do
    # `idle*` is a node that has not answered yet: nothing is started there.
    [ "$(sinfo -h -N -p low -o '%N %t' 2>/dev/null | grep -c ' idle$')" = "$nodes" ] && echo "$conf" && exit 0
    sleep 0.2
  done
  echo "the nodes did not come up: $(sinfo 2>&1)" >&2
  exit 1
  ;;
kill) stop "$dir/run/slurmd.$3.pid" -KILL ;;
start) start_node "$3" ;;
down)
  timeout 20 scancel --user=root 2>/dev/null || true
  for _ in $(seq 100); do [ -z "$(squeue -h -t running,completing 2>/dev/null)" ] && break; sleep 0.1; done
  for file in "$dir"/run/slurmd.*.pid "$dir/run/slurmctld.pid"; do stop "$file" -TERM; done
  # The steps of a killed daemon outlive it: those whose environment names this configuration.
  for pid in $(pgrep -x slurmstepd || true); do
    if tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "SLURM_CONF=$conf"; then kill -KILL "$pid" || true; fi
  done
  stop "$dir/run/munged.pid" -TERM
  ;;
esac
