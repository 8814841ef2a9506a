// Benchmarks of calls, records and a served model.

package sidecall_test

import (
	"context"
	"sync/atomic"
	"testing"

	"sidecall.dev/sidecall"
)

// Each row differs from the one before, because a repeated row takes the same branches of the
// trees.
const differentRows = 1024

func syntheticRows(width int) [][]float64 {
	rows := make([][]float64, differentRows)
	state := uint64(1)
	for i := range rows {
		rows[i] = make([]float64, width)
		for j := range rows[i] {
			state = state*6364136223846793005 + 1442695040888963407
			rows[i][j] = float64(state>>40) / (1 << 20)
		}
	}
	return rows
}

// BenchmarkCall writes a row into the memory of the call, runs it and reads the output in place.
func BenchmarkCall(b *testing.B) {
	model := open(b, "gbm.onnx")
	call, err := model.NewCall(1)
	if err != nil {
		b.Fatal(err)
	}
	defer call.Close()
	view, err := call.Input(0)
	if err != nil {
		b.Fatal(err)
	}
	input, err := sidecall.Elements[float32](view)
	if err != nil {
		b.Fatal(err)
	}
	rows := syntheticRows(len(input))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for j, x := range rows[i%differentRows] {
			input[j] = float32(x)
		}
		if err := call.Run(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// A LabelAndScore needs no memory: a map in an answer does.
type LabelAndScore struct {
	Label  string  `sidecall:"label"`
	Adelie float64 `sidecall:"probabilities.Adelie"`
}

// BenchmarkRecord predicts for a struct.
func BenchmarkRecord(b *testing.B) {
	model := open(b, "penguins.onnx")
	predictor, err := sidecall.NewPredictor[Penguin, LabelAndScore](model)
	if err != nil {
		b.Fatal(err)
	}
	record := adelie()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		record.BillLength = float64(35 + i%20)
		if _, err := predictor.Predict(context.Background(), record); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCancellable predicts for a struct within a context that can be cancelled.
func BenchmarkCancellable(b *testing.B) {
	model := open(b, "penguins.onnx")
	predictor, err := sidecall.NewPredictor[Penguin, LabelAndScore](model)
	if err != nil {
		b.Fatal(err)
	}
	record := adelie()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := predictor.Predict(b.Context(), record); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkServed predicts for records on a served model, from 64 goroutines.
func BenchmarkServed(b *testing.B) {
	server := serve(b, models+"/penguins.onnx")
	model := connect(b, server.uri)
	predictor, err := sidecall.NewPredictor[Penguin, LabelAndScore](model)
	if err != nil {
		b.Fatal(err)
	}
	var count atomic.Int64
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := predictor.Predict(b.Context(), adelie()); err != nil {
				b.Error(err)
			}
			count.Add(1)
		}
	})
}
