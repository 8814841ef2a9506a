// A gRPC client that knows only the messages of the protocol. Its argument is the server's address.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"sidecall/inference"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func input(
	name, datatype string, contents *inference.InferTensorContents,
) *inference.ModelInferRequest_InferInputTensor {
	return &inference.ModelInferRequest_InferInputTensor{
		Name: name, Datatype: datatype, Shape: []int64{1, 1}, Contents: contents,
	}
}

func main() {
	plain := grpc.WithTransportCredentials(insecure.NewCredentials())
	connection := must(grpc.NewClient(os.Args[1], plain))
	defer connection.Close()
	client := inference.NewGRPCInferenceServiceClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()

	fmt.Println(must(client.ServerLive(ctx, &inference.ServerLiveRequest{})).Live)
	metadata := must(client.ModelMetadata(ctx, &inference.ModelMetadataRequest{Name: "penguins"}))
	fmt.Println(metadata.Name, len(metadata.Inputs), metadata.Outputs[0].Datatype)

	request := &inference.ModelInferRequest{ModelName: "penguins"}
	for name, value := range map[string]string{"island": "Biscoe", "sex": "male"} {
		contents := &inference.InferTensorContents{BytesContents: [][]byte{[]byte(value)}}
		request.Inputs = append(request.Inputs, input(name, "BYTES", contents))
	}
	numbers := map[string]float32{
		"bill_length_mm": 40, "bill_depth_mm": 18, "flipper_length_mm": 190,
		"body_mass_g": 4000, "year": 2008,
	}
	for name, value := range numbers {
		contents := &inference.InferTensorContents{Fp32Contents: []float32{value}}
		request.Inputs = append(request.Inputs, input(name, "FP32", contents))
	}
	request.Outputs = []*inference.ModelInferRequest_InferRequestedOutputTensor{{Name: "label"}}
	// A text is its length in four bytes and then its bytes.
	fmt.Println(string(must(client.ModelInfer(ctx, request)).RawOutputContents[0][4:]))

	_, err := client.ModelInfer(ctx, &inference.ModelInferRequest{ModelName: "other"})
	fmt.Println(int(status.Code(err)))
}
