// Asks a model about one penguin, and shows how a bad record is refused:   penguins [MODEL]
//
// MODEL is a file or the address of a server, such as shm:penguins; penguins.onnx by default.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"sidecall.dev/sidecall"
)

type Penguin struct {
	Island        string  `sidecall:"island"`
	Sex           *string `sidecall:"sex"` // nil is a missing value
	BillLength    float64 `sidecall:"bill_length_mm"`
	BillDepth     float64 `sidecall:"bill_depth_mm"`
	FlipperLength float64 `sidecall:"flipper_length_mm"`
	BodyMass      float64 `sidecall:"body_mass_g"`
}

type Species struct {
	Label  string  `sidecall:"label"`
	Gentoo float64 `sidecall:"probabilities.Gentoo"`
}

func ask(ctx context.Context, model *sidecall.Model) error {
	penguin := Penguin{
		Island:        "Biscoe",
		BillLength:    48.2,
		BillDepth:     14.3,
		FlipperLength: 215,
		BodyMass:      4900,
	}
	species, err := sidecall.PredictAs[Penguin, Species](ctx, model, penguin)
	if err != nil {
		return err
	}
	fmt.Println("label:", species.Label)
	fmt.Printf("probabilities.Gentoo: %.4f\n", species.Gentoo)
	return nil
}

// askBadly gives a record as a map. If the record is refused, the error lists all faults.
func askBadly(ctx context.Context, model *sidecall.Model) error {
	record := map[string]any{"island": "Biscoe", "bill_length_mm": "long", "body_mass_g": "heavy"}
	_, err := model.Predict(ctx, record)
	var refused *sidecall.Error
	if errors.As(err, &refused) && len(refused.Faults) > 0 {
		for _, fault := range refused.Faults {
			fmt.Println("refused:", fault.Message)
		}
		return nil
	}
	return err // the run itself has failed
}

func run(ctx context.Context, uri string) error {
	model, err := sidecall.Open(uri)
	if err != nil {
		return err
	}
	defer model.Close()
	if err := ask(ctx, model); err != nil {
		return err
	}
	return askBadly(ctx, model)
}

func main() {
	uri := "penguins.onnx"
	if len(os.Args) > 1 {
		uri = os.Args[1]
	}
	if err := run(context.Background(), uri); err != nil {
		var failure *sidecall.Error
		if errors.As(err, &failure) {
			fmt.Fprintf(os.Stderr, "%v (%v)\n", err, failure.Code)
		} else {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
}
