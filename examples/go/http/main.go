// An HTTP server that predicts for the record in each request:   http [MODEL [ADDRESS]]
//
//	curl -d '{"island": "Biscoe", "body_mass_g": 4900}' http://127.0.0.1:8080/predict
//
// A request that its client gives up cancels its run.
package main

import (
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"os"

	"sidecall.dev/sidecall"
)

// predict answers requests whose body is a record as JSON.
func predict(model *sidecall.Model) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		decoder.UseNumber() // keeps integers exact
		var record map[string]any
		if err := decoder.Decode(&record); err != nil {
			reply(w, http.StatusBadRequest, map[string]any{"error": err.Error()})
			return
		}
		answer, err := model.Predict(r.Context(), record)
		if err != nil {
			refuse(w, err)
			return
		}
		reply(w, http.StatusOK, answer)
	}
}

// refuse tells the client what is wrong with its record, and keeps other errors in the log.
func refuse(w http.ResponseWriter, err error) {
	var failure *sidecall.Error
	switch {
	case errors.As(err, &failure) && failure.Family() == sidecall.FamilyData:
		faults := []string{}
		for _, fault := range failure.Faults {
			faults = append(faults, fault.Message)
		}
		reply(w, http.StatusUnprocessableEntity, map[string]any{"error": err.Error(), "faults": faults})
	case errors.Is(err, sidecall.CodeCancelled): // the client is gone
	default:
		log.Print(err)
		status := http.StatusInternalServerError
		if failure != nil && failure.Retryable {
			status = http.StatusServiceUnavailable
		}
		reply(w, status, map[string]any{"error": "the model is not available"})
	}
}

func reply(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil { // an answer that is NaN or infinite has no JSON
		status, text = http.StatusInternalServerError, []byte(`{"error": "the answer is not finite"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(text, '\n'))
}

func main() {
	uri, address := "penguins.onnx", "127.0.0.1:8080"
	if len(os.Args) > 1 {
		uri = os.Args[1]
	}
	if len(os.Args) > 2 {
		address = os.Args[2]
	}
	model, err := sidecall.Open(uri)
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	http.Handle("POST /predict", predict(model))
	log.Fatal(http.ListenAndServe(address, nil))
}
