// Written by tools/generate_options.py from serving/options.json.
#include "options.hpp"

#include "terminal/arguments.hpp"

namespace sidecall::cli {

void add_serve_options(CLI::App& app, ServeOptions& options) {
  app.add_option("--at", options.at,
                 "address of the server: shm:NAME or shm:/path; required without --http and "
                 "--grpc, except in a child process with SIDECALL_FD")
      ->option_text("ADDRESS");
  app.add_option("--http", options.http,
                 "also serve the Open Inference Protocol and records over HTTP; may be repeated")
      ->option_text("HOST:PORT|/PATH")
      ->allow_extra_args(false);
  app.add_option("--grpc", options.grpc, "the same over gRPC; may be repeated")
      ->option_text("HOST:PORT|/PATH")
      ->allow_extra_args(false);
  app.add_option("--tls-cert", options.tls_cert, "certificate for TLS over HTTP and gRPC, as PEM")
      ->option_text("FILE");
  app.add_option("--tls-key", options.tls_key, "key of the certificate, as PEM")
      ->option_text("FILE");
  app.add_option("--tls-client-ca", options.tls_client_ca,
                 "clients need a certificate of these authorities, as PEM")
      ->option_text("FILE");
  app.add_option("--tokens", options.tokens,
                 "clients need one of the tokens in this file, one in each line")
      ->option_text("FILE");
  app.add_flag("--insecure", options.insecure,
               "let anyone call over HTTP and gRPC who reaches an address beyond this host");
  app.add_option("--allow-host", options.allow_host,
                 "another name under which clients reach this server over HTTP; may be repeated; "
                 "'*' for any")
      ->option_text("NAME")
      ->allow_extra_args(false);
  app.add_option("--name", options.name,
                 "name of the model over HTTP and gRPC (default: the one in its contract)")
      ->option_text("NAME");
  app.add_option("--threads", options.threads,
                 "threads of each process that run the model, 1 to 1024 (default: 1)")
      ->check(whole_number(1, 1024))
      ->option_text("N");
  app.add_option("--allow-uid", options.allow_uid, "id of another user to admit; may be repeated")
      ->check(whole_number(0, 4294967295))
      ->option_text("UID")
      ->allow_extra_args(false);
  app.add_option("--group", options.group, "group to admit, by name or number (default: none)")
      ->option_text("GROUP");
  app.add_option("--copy", options.copy,
                 "auto (default): copy an input only if reading it in place is unsafe; always: "
                 "copy every input")
      ->check(one_of({"auto", "always"}))
      ->option_text("WHEN");
  app.add_option("--max-connections", options.max_connections,
                 "connections at the same time, 1 to 1000000 (default: 1024)")
      ->check(whole_number(1, 1000000))
      ->option_text("N");
  app.add_option("--max-connections-per-user", options.max_connections_per_user,
                 "connections of one user, 1 to 1000000 (default: 512)")
      ->check(whole_number(1, 1000000))
      ->option_text("N");
  app.add_option("--max-call", options.max_call_mib,
                 "largest request or answer in MiB (default: 256)")
      ->check(number_between(0.001, 1048576))
      ->option_text("MIB");
  app.add_option("--max-memory", options.max_memory_mib,
                 "memory that all clients can make the server hold, in MiB (default: 4096)")
      ->check(number_between(0.001, 1000000000))
      ->option_text("MIB");
  app.add_option("--max-memory-per-user", options.max_memory_per_user_mib,
                 "the limit for one user, in MiB (default: half of --max-memory if other users are "
                 "admitted, else all of it)")
      ->check(number_between(0.001, 1000000000))
      ->option_text("MIB");
  app.add_option("--timeout", options.timeout_s, "deadline of calls that have none (default: 30)")
      ->check(number_of_seconds())
      ->option_text("SECONDS");
  app.add_option("--unready-after", options.unready_after_s,
                 "not ready if calls wait and no run has ended for this time (default: 5)")
      ->check(number_of_seconds())
      ->option_text("SECONDS");
  app.add_option("--drain-timeout", options.drain_timeout_s,
                 "time for running calls to end after SIGTERM (default: 10)")
      ->check(number_of_seconds())
      ->option_text("SECONDS");
  app.add_flag("--json-log", options.json_log, "write log lines as JSON");
  app.add_option("--log-level", options.log_level,
                 "lowest level to log: debug, info, warning or error (default: info)")
      ->check(one_of({"debug", "info", "warning", "error"}))
      ->option_text("LEVEL");
  // A flag takes its value from behind '=' only; the next word is the model.
  app.add_flag(
         "--sandbox", options.sandbox,
         "once the golden rows have run, take files, network and other processes away from the "
         "server; =require: fail if this system cannot (see docs/deployment/hardening.md)")
      ->check(one_of({"on", "require"}))
      ->transform(
          [](const std::string& given) { return given == "true" ? std::string("on") : given; })
      ->option_text("[=require]");
}

}  // namespace sidecall::cli
