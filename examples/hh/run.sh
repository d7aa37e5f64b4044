#!/bin/sh
# Import, check, SFT on the chosen answers, a reward model beside its baselines, DPO.
#
#   sh examples/hh/run.sh SOURCE MODEL FOLDER [template.file=plain]
#
# SOURCE  a file of comparisons, or hf:Anthropic/hh-rlhf      MODEL  a folder, or OWNER/NAME on the Hub      FOLDER  the project to make
# A base model without a chat template needs template.file; see docs/how-it-works/chat-templates.md.
# The settings are in sft.toml, reward.toml and dpo.toml beside this script.  Run it again after an interruption: it goes on.
set -eu
[ $# -ge 3 ] || { sed -n '2,9p' "$0"; exit 1; }
configs=$(cd "$(dirname "$0")" && pwd)
source=$1
case $source in hf:*) ;; *) source=$(realpath "$source") ;; esac
model=$2
[ ! -d "$model" ] || model=$(realpath "$model")
folder=$3
shift 3

[ -e "$folder/fairlead.toml" ] || fairlead init "$folder"
cd "$folder"

# Rows that cannot be used are set aside beside the file, each with its reason.
fairlead data import "$source" --drop --out data/comparisons.jsonl
fairlead data check data/comparisons.jsonl
fairlead data import data/comparisons.jsonl --kind demonstration --out data/demonstrations.jsonl

fairlead train sft "$configs/sft.toml" model="$model" "$@"
fairlead train reward "$configs/reward.toml" model=sft
fairlead train dpo "$configs/dpo.toml" model=sft
fairlead report reward
fairlead lineage verify
