// The events as Go's encoding/json writes them: numbers as they are, or as float64, as a decoder without UseNumber has them.
package main

import (
	"bytes"
	"encoding/json"
	"os"
)

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	var exact, floats []map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&exact); err != nil {
		panic(err)
	}
	if err := json.Unmarshal(text, &floats); err != nil {
		panic(err)
	}
	var texts []string
	for i := range exact {
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		var event any = exact[i]
		switch i % 4 {
		case 1:
			encoder.SetEscapeHTML(false)
		case 2:
			encoder.SetIndent("", "  ")
		case 3:
			event = floats[i]
		}
		if err := encoder.Encode(event); err != nil {
			panic(err)
		}
		texts = append(texts, out.String())
	}
	all := json.NewEncoder(os.Stdout)
	all.SetIndent("", "")
	if err := all.Encode(texts); err != nil {
		panic(err)
	}
}
