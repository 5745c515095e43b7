#!/bin/bash
# Says hello once a minute and ends well when it is told to.
trap 'echo "worker: bye"; exit 0' TERM
echo "worker: ready on $DYNO"
while true; do
  sleep 60 &
  wait $!
  echo "worker: beat"
done
