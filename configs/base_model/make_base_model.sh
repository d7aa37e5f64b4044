#!/bin/sh
# Make src/fairlead/simulate/base_model again: write the text, train on it in two parts, put the model into the package.
# usage: sh configs/base_model/make_base_model.sh .venv/bin
set -eu
bin=$1
home=build/base-model
package=src/fairlead/simulate/base_model
# Every batch has its own shape; with room for all of them oneDNN does not compile its kernels again and again.
export ONEDNN_PRIMITIVE_CACHE_CAPACITY=16384

[ -e "$home/fairlead.toml" ] || "$bin/fairlead" init "$home"
"$bin/python" -m fairlead.simulate.corpus "$home/data/text.jsonl" --rows 300000 --replies 0.6 --right-users 0.4 --seed 0
"$bin/python" -m fairlead.simulate.corpus "$home/data/more.jsonl" --rows 100000 --replies 0.9 --seed 1
"$bin/fairlead" train pretrain configs/base_model/young.toml --project "$home"
"$bin/fairlead" train pretrain configs/base_model/base.toml --project "$home"
rm -rf "$package"
"$bin/fairlead" export model/base --project "$home" --out "$package"
