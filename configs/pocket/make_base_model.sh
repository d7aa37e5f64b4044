#!/bin/sh
# Make src/fairlead/rehearse/base_model again: write the text, train on it, put the model into the package.
# usage: sh configs/pocket/make_base_model.sh .venv/bin
set -eu
bin=$1
home=build/base-model
package=src/fairlead/rehearse/base_model
[ -e "$home/fairlead.toml" ] || "$bin/fairlead" init "$home"
"$bin/python" -m fairlead.rehearse.corpus "$home/data/corpus.jsonl" --rows 300000 --seed 0
"$bin/fairlead" train pretrain configs/pocket/pretrain.toml --project "$home"
rm -rf "$package"
"$bin/fairlead" export model/base --project "$home" --out "$package"
