#!/usr/bin/env bash
# A one-node Slurm from Debian's packages, the smoke profile through it with one job killed on the
# way, and the same run made here: all results must be the same bytes. Writes
# figures/reliability/cluster.md. Needs root, and changes this machine's /etc/slurm: for a
# container or a virtual machine that is thrown away.
#
#   tests/slurm_on_this_machine.sh [FOLDER]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=${1:-$(mktemp -d)}
python=$root/.venv/bin/python
[[ $EUID -eq 0 && -x $python ]] || { echo "error: be root, and run ./run_all.sh once before" >&2; exit 2; }

apt-get install --yes --quiet slurm-wlm munge >"$work/apt.log"
cores=$(nproc)
cat >/etc/slurm/slurm.conf <<CONF
ClusterName=one
SlurmctldHost=$(hostname -s)
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmdSpoolDir=/var/spool/slurmd
StateSaveLocation=/var/spool/slurmctld
SlurmUser=root
NodeName=$(hostname -s) CPUs=$cores State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
mkdir -p /var/spool/slurmd /var/spool/slurmctld /run/munge
chown munge: /run/munge
pkill slurmd || true
pkill slurmctld || true
pgrep munged >/dev/null || su -s /bin/bash munge -c munged
slurmctld
slurmd
sleep 3
sinfo

"$python" -m pip install --quiet snakemake-executor-plugin-slurm
PATH="$root/.venv/bin:$PATH"
smoke=("$python" -m dynammo.run.command --profile smoke)
"${smoke[@]}" --output "$work/local"
# This Slurm keeps no accounts, which the executor would otherwise ask how jobs are doing.
"${smoke[@]}" --output "$work/slurm" --executor slurm --cores "$cores" \
  -- --slurm-status-command squeue &
until job=$(squeue --noheader --states running --format %i | head -n 1) && [[ -n $job ]]; do sleep 1; done
sleep 5
scancel --signal KILL --full "$job"
wait $!

cd "$work"
for part in figures/smoke runs/smoke/order0-seed1; do
  diff --recursive --brief --exclude timings.csv --exclude measured.json "local/$part" "slurm/$part"
done
log=slurm/runs/smoke/snakemake.log
files=$(find local/figures local/runs/smoke/order0-seed1 -type f ! -name timings.csv ! -name measured.json | wc -l)
cat >"$root/figures/reliability/cluster.md" <<MD
| smoke profile through | jobs | killed | tried again | files | identical to the local run |
|:--|--:|--:|--:|--:|--:|
| $(sinfo --version), one node of $cores cores | $(grep -c "SLURM jobid" $log) | 1 | $(grep -c "Trying to restart" $log) | $files | $files |
MD
cat "$root/figures/reliability/cluster.md"
