#!/usr/bin/env bash
# Writes the samples of this folder anew: the same events, by the JSON writers that programs in the field use. Run once; it
# needs Python with orjson, Go, a JDK and Maven, and none of them is needed by the tests.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 make.py spec > "$work/spec.json"
python3 -m venv "$work/python"
"$work/python/bin/pip" install --quiet orjson
"$work/python/bin/python" make.py python "$work/spec.json" > python.json
"$work/python/bin/python" make.py orjson "$work/spec.json" > orjson.json
go run make.go "$work/spec.json" > go.json
mvn --quiet dependency:copy -Dartifact=com.google.code.gson:gson:2.11.0 -DoutputDirectory="$work/jars"
for part in core databind annotations; do
    mvn --quiet dependency:copy -Dartifact="com.fasterxml.jackson.core:jackson-$part:2.17.2" -DoutputDirectory="$work/jars"
done
java -cp "$work/jars/*" Make.java jackson "$work/spec.json" > jackson.json
java -cp "$work/jars/*" Make.java gson "$work/spec.json" > gson.json
