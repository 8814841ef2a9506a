import com.google.protobuf.ByteString;
import inference.GRPCInferenceServiceGrpc;
import inference.OpenInference.InferTensorContents;
import inference.OpenInference.ModelInferRequest;
import inference.OpenInference.ModelMetadataRequest;
import inference.OpenInference.ModelMetadataResponse;
import inference.OpenInference.ServerLiveRequest;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** A client that knows only the messages of the protocol. Its argument is the server's address. */
public class Client {
  private static ModelInferRequest.InferInputTensor input(
      String name, String datatype, InferTensorContents.Builder contents) {
    return ModelInferRequest.InferInputTensor.newBuilder()
        .setName(name)
        .setDatatype(datatype)
        .addShape(1)
        .addShape(1)
        .setContents(contents)
        .build();
  }

  public static void main(String[] arguments) {
    ManagedChannel channel = NettyChannelBuilder.forTarget(arguments[0]).usePlaintext().build();
    var client =
        GRPCInferenceServiceGrpc.newBlockingStub(channel).withDeadlineAfter(20, TimeUnit.SECONDS);

    System.out.println(client.serverLive(ServerLiveRequest.getDefaultInstance()).getLive());
    ModelMetadataResponse metadata =
        client.modelMetadata(ModelMetadataRequest.newBuilder().setName("penguins").build());
    System.out.println(
        metadata.getName()
            + " "
            + metadata.getInputsCount()
            + " "
            + metadata.getOutputs(0).getDatatype());

    var request = ModelInferRequest.newBuilder().setModelName("penguins");
    Map.of("island", "Biscoe", "sex", "male")
        .forEach(
            (name, value) -> {
              var contents = InferTensorContents.newBuilder();
              contents.addBytesContents(ByteString.copyFromUtf8(value));
              request.addInputs(input(name, "BYTES", contents));
            });
    var numbers =
        Map.of(
            "bill_length_mm", 40f,
            "bill_depth_mm", 18f,
            "flipper_length_mm", 190f,
            "body_mass_g", 4000f,
            "year", 2008f);
    numbers.forEach(
        (name, value) ->
            request.addInputs(
                input(name, "FP32", InferTensorContents.newBuilder().addFp32Contents(value))));
    request.addOutputs(
        ModelInferRequest.InferRequestedOutputTensor.newBuilder().setName("label"));
    // A text is its length in four bytes and then its bytes.
    System.out.println(
        client.modelInfer(request.build()).getRawOutputContents(0).substring(4).toStringUtf8());

    try {
      client.modelInfer(ModelInferRequest.newBuilder().setModelName("other").build());
    } catch (StatusRuntimeException error) {
      System.out.println(error.getStatus().getCode().value());
    }
    channel.shutdownNow();
  }
}
