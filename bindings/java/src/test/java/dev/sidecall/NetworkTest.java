package dev.sidecall;

import org.junit.jupiter.api.Nested;

/** The tests of served models, over HTTP and gRPC. */
class NetworkTest {
  @Nested
  class AsyncOverHttp extends AsyncTest {
    @Override
    Served.Route route() {
      return Served.Route.HTTP;
    }
  }

  @Nested
  class AsyncOverGrpc extends AsyncTest {
    @Override
    Served.Route route() {
      return Served.Route.GRPC;
    }
  }

  @Nested
  class DeadlinesOverHttp extends DeadlinesTest {
    @Override
    Served.Route route() {
      return Served.Route.HTTP;
    }
  }

  @Nested
  class DeadlinesOverGrpc extends DeadlinesTest {
    @Override
    Served.Route route() {
      return Served.Route.GRPC;
    }
  }

  @Nested
  class ServedOverHttp extends ServedTest {
    @Override
    Served.Route route() {
      return Served.Route.HTTP;
    }
  }

  @Nested
  class ServedOverGrpc extends ServedTest {
    @Override
    Served.Route route() {
      return Served.Route.GRPC;
    }
  }
}
