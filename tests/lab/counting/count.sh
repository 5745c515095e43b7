#!/bin/bash
# Says a number after the other, five in a second: who reads its log sees which are missing.
number=0
while true; do
  number=$((number + 1))
  echo "number $number"
  sleep 0.2
done
