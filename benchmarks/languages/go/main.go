// The client in Go of the benchmark of languages; client.c describes the requests.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"sidecall.dev/sidecall"
)

const (
	numFeatures = 30
	numRows     = 1024
	block       = 64
)

type record struct {
	X0  float64 `sidecall:"x0"`
	X1  float64 `sidecall:"x1"`
	X2  float64 `sidecall:"x2"`
	X3  float64 `sidecall:"x3"`
	X4  float64 `sidecall:"x4"`
	X5  float64 `sidecall:"x5"`
	X6  float64 `sidecall:"x6"`
	X7  float64 `sidecall:"x7"`
	X8  float64 `sidecall:"x8"`
	X9  float64 `sidecall:"x9"`
	X10 float64 `sidecall:"x10"`
	X11 float64 `sidecall:"x11"`
	X12 float64 `sidecall:"x12"`
	X13 float64 `sidecall:"x13"`
	X14 float64 `sidecall:"x14"`
	X15 float64 `sidecall:"x15"`
	X16 float64 `sidecall:"x16"`
	X17 float64 `sidecall:"x17"`
	X18 float64 `sidecall:"x18"`
	X19 float64 `sidecall:"x19"`
	X20 float64 `sidecall:"x20"`
	X21 float64 `sidecall:"x21"`
	X22 float64 `sidecall:"x22"`
	X23 float64 `sidecall:"x23"`
	X24 float64 `sidecall:"x24"`
	X25 float64 `sidecall:"x25"`
	X26 float64 `sidecall:"x26"`
	X27 float64 `sidecall:"x27"`
	X28 float64 `sidecall:"x28"`
	X29 float64 `sidecall:"x29"`
}

type verdict struct {
	Probability float64 `sidecall:"probabilities.1"`
}

var (
	rows [numRows]record
	out  = bufio.NewWriter(os.Stdout)
)

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(out, "error", err)
		out.Flush()
		os.Exit(1)
	}
}

func answer(times []int64, answers []float64) {
	fmt.Fprintf(out, "ok %d %d\n", len(times), len(answers))
	check(binary.Write(out, binary.NativeEndian, times))
	check(binary.Write(out, binary.NativeEndian, answers))
	check(out.Flush())
}

// blocks times blocks of calls of `one`.
func blocks(first, count int, one func(row *record) float64) {
	times := make([]int64, count)
	answers := make([]float64, count*block)
	for b := range times {
		begin := time.Now()
		for i := b * block; i < (b+1)*block; i++ {
			answers[i] = one(&rows[(first+i)%numRows])
		}
		times[b] = time.Since(begin).Nanoseconds()
	}
	answer(times, answers)
}

// served uses one thread, as the clients in C and Rust do; the server uses another.
func served(uri string, runs, flight int) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	model := must(sidecall.Open(uri, sidecall.WithMaxCalls(flight)))
	defer model.Close()
	predictor := must(sidecall.NewPredictor[record, verdict](model))
	answers := make([]float64, runs)
	predict := func(runs int) time.Duration {
		var group sync.WaitGroup
		begin := time.Now()
		for k := range flight {
			group.Add(1)
			go func() {
				defer group.Done()
				for i := k; i < runs; i += flight {
					got := must(predictor.Predict(context.Background(), rows[i%numRows]))
					answers[i] = got.Probability
				}
			}()
		}
		group.Wait()
		return time.Since(begin)
	}
	predict(min(4*flight, runs)) // connects
	answer([]int64{predict(runs).Nanoseconds()}, answers)
}

func main() {
	check(binary.Read(must(os.Open(os.Args[2])), binary.NativeEndian, &rows))
	ctx := context.Background()
	model := must(sidecall.Open(os.Args[1]))
	defer model.Close()
	predictor := must(sidecall.NewPredictor[record, verdict](model))
	call := must(model.NewCall(1))
	defer call.Close()
	input := must(sidecall.Elements[float32](must(call.Input(0))))
	clear(input)
	check(call.Run(ctx))
	probabilities := must(sidecall.Elements[float32](must(call.Output(1))))
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var uri string
		var first, second int
		if n, _ := fmt.Sscanf(lines.Text(), "call %d %d", &first, &second); n == 2 {
			blocks(first, second, func(row *record) float64 {
				for k, x := range (*[numFeatures]float64)(unsafe.Pointer(row)) {
					input[k] = float32(x)
				}
				check(call.Run(ctx))
				return float64(probabilities[1])
			})
		} else if n, _ := fmt.Sscanf(lines.Text(), "record %d %d", &first, &second); n == 2 {
			blocks(first, second, func(row *record) float64 {
				return must(predictor.Predict(ctx, *row)).Probability
			})
		} else if n, _ := fmt.Sscanf(lines.Text(), "served %s %d %d", &uri, &first, &second); n == 3 {
			served(uri, first, second)
		} else if lines.Text() == "allocations" {
			answer(nil, []float64{
				testing.AllocsPerRun(1000, func() { check(call.Run(ctx)) }),
				testing.AllocsPerRun(1000, func() { must(predictor.Predict(ctx, rows[0])) }),
			})
		} else {
			check(fmt.Errorf("unknown request"))
		}
	}
}
