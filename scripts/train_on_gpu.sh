#!/usr/bin/env bash
# Train a GAN on a graphics card that is lent for minutes, and end by itself.
#
#   DATA="photos.zip more.zip" OUT=results scripts/train_on_gpu.sh [OPTION]...
#
# DATA     zip files or folders of photos, in a folder for each class
# OUT      the folder for the results, which are brought there every 30 seconds
# WITHOUT  a file with the names of photos to leave out, or nothing
# STATE    an earlier OUT, from which the training goes on; its encoder is taken
# MINUTES  the minutes for the encoder and the GAN together (9)
# VARIANT  what images are made from: instance or classes (instance)
# XLA      1, 0, or auto: whichever is faster in the smoke test (auto)
# SMOKE    the seconds of each smoke test; 0 for none, which XLA=auto takes as 0 (60)
# ENCODER_SECONDS  the time of the encoder's training, by its speed (150)
# TFVIZ    the command (python3 -m tfviz.cli)
#
# Options are those of `tfviz priors train gan`, such as --batch 512. The smoke test
# prints the speed and the losses on a few classes; then the newest line of the log is
# printed every 30 seconds. OUT gets gan.npz with its encoder, the networks to go on
# from, the log and samples: 8 files, each of at most 16 MiB.
set -euo pipefail

: "${DATA:?Name the zip files or folders of photos: DATA=\"a.zip b.zip\"}"
: "${OUT:?Name the folder for the results: OUT=results}"
MINUTES=${MINUTES:-9} VARIANT=${VARIANT:-instance} XLA=${XLA:-auto} STATE=${STATE:-} WITHOUT=${WITHOUT:-}
SMOKE=${SMOKE:-60} ENCODER_SECONDS=${ENCODER_SECONDS:-150}
TFVIZ=${TFVIZ:-python3 -m tfviz.cli}
export PYTHONUNBUFFERED=1 TF_CPP_MIN_LOG_LEVEL=${TF_CPP_MIN_LOG_LEVEL:-2}
work=$(mktemp -d)
copier=
finish() {
  [ -z "$copier" ] || kill "$copier" 2>/dev/null || true
  bring
  rm -rf "$work"
}
trap finish EXIT
mkdir -p "$OUT" "$work/photos" "$work/few" "$work/gan"

say() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

# Copy what is there to OUT, each file whole or not at all.
bring() {
  local file
  for file in gan.npz gan.encoder.npz generator.npz discriminator.npz samples.png \
    settings.json log.csv log.txt; do
    [ -f "$work/gan/$file" ] || continue
    cp "$work/gan/$file" "$OUT/.$file.part" && mv "$OUT/.$file.part" "$OUT/$file"
  done
}

for source in $DATA; do
  if [ -d "$source" ]; then
    cp -r "$source/." "$work/photos/"
  else
    python3 -m zipfile -e "$source" "$work/photos"
  fi
done
say "$(find "$work/photos" -type f | wc -l) photos in $(ls "$work/photos" | wc -l) folders"

options=(--variant "$VARIANT" --batch 256 --held-out 2000 --bfloat16)
encoder=$STATE/gan.encoder.npz
[ -z "$STATE" ] || [ "$VARIANT" != instance ] || options+=(--encoder "$encoder")

# Train an encoder and a GAN on a few classes for SMOKE seconds each, at most, and print
# the losses: smoke NAME [OPTION]...
smoke() {
  local name=$1
  shift
  say "smoke test, $name"
  # The compilation is not counted, so the limit is generous.
  timeout $((2 * SMOKE + 120)) $TFVIZ priors train gan --images "$work/few" \
    -o "$work/smoke-$name" "${options[@]}" --held-out 100 --encoder-steps 60 \
    --minutes "$(awk "BEGIN { print 2 * $SMOKE / 60 }")" --by-clock "${given[@]}" "$@" \
    >"$work/smoke-$name.txt" 2>&1 || say "smoke test, $name: it failed or took too long"
  grep -E 'images/s|encoder:|Error' "$work/smoke-$name.txt" | tail -n 4 || true
}

# The last speed of a smoke test's GAN or encoder, in images a second; 0 if unknown.
speed() {
  awk -v word="$2" '$0 ~ word && match($0, /[0-9]+ images\/s/) {
    rate = substr($0, RSTART) + 0 } END { print rate + 0 }' "$work/smoke-$1.txt"
}

given=("$@")
if [ "$SMOKE" != 0 ]; then
  ls "$work/photos" | head -n 8 | while read -r name; do
    cp -r "$work/photos/$name" "$work/few/"
  done
  [ "$XLA" = 1 ] || smoke plain --no-xla
  [ "$XLA" = 0 ] || smoke xla --xla
  plain=0 fast=0
  [ "$XLA" = 1 ] || plain=$(speed plain fooled)
  [ "$XLA" = 0 ] || fast=$(speed xla fooled)
  say "images a second: $plain plain, $fast with XLA"
  if [ "$XLA" = auto ]; then XLA=$((fast > plain)); fi
  best=plain
  [ "$XLA" = 0 ] || best=xla
  if [ -z "$STATE" ] && [ "$VARIANT" = instance ]; then
    rate=$(speed $best 'loss ')
    steps=$((rate * ENCODER_SECONDS / 256))
    [ "$steps" -lt 1 ] || options+=(--encoder-steps $((steps < 10000 ? steps : 10000)))
  fi
fi
if [ "$XLA" = 1 ]; then options+=(--xla); else options+=(--no-xla); fi
[ -z "$STATE" ] || options+=(--initial "$STATE")

say "training: ${options[*]} ${given[*]}"
(
  while sleep 30; do
    bring
    tail -n 1 "$work/gan/log.txt" || true
  done
) &
copier=$!
$TFVIZ priors train gan --images "$work/photos" -o "$work/gan" "${options[@]}" \
  ${WITHOUT:+--without "$WITHOUT"} --steps 1000000 --minutes "$MINUTES" --by-clock "${given[@]}" \
  >"$work/gan/log.txt" 2>&1 || say "the training failed"
tail -n 3 "$work/gan/log.txt"
bring
say "done; $(ls "$OUT" | wc -l) files in $OUT"
