// Queries an exported model for records, one JSON object per line. Used by demo.py.
//
//	ask-go MODEL RECORDS CALLS
//
// Prints one answer per record, and finally the time of a call in microseconds.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"time"

	"sidecall.dev/sidecall"
)

const rounds = 25 // short rounds, some of which nothing interrupts; the fastest counts

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	ctx := context.Background()
	model := must(sidecall.Open(os.Args[1]))
	defer model.Close()
	var records []map[string]any
	for line := range strings.Lines(string(must(os.ReadFile(os.Args[2])))) {
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.UseNumber()
		var record map[string]any
		if err := decoder.Decode(&record); err != nil {
			log.Fatal(err)
		}
		// Numbers as a program has them, so that the time is that of the call.
		for name, value := range record {
			if number, ok := value.(json.Number); ok {
				record[name] = must(number.Float64())
			}
		}
		records = append(records, record)
		fmt.Println(string(must(json.Marshal(must(model.Predict(ctx, record))))))
	}
	calls := must(strconv.Atoi(os.Args[3]))
	best := time.Hour
	for range rounds {
		start := time.Now()
		for i := range calls {
			must(model.Predict(ctx, records[i%len(records)]))
		}
		best = min(best, time.Since(start))
	}
	fmt.Printf("%.2f\n", float64(best.Nanoseconds())/1000/float64(calls))
}
