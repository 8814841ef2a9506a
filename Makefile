# Every target does its own set-up on a fresh machine first. `make` without a target lists them.
#
#   PYTHON=python3.12 make test    another interpreter for .venv
#   make -j4 setup                 compiles and downloads at the same time; JOBS=4: compile jobs

PYTHON ?= python3
CLANG_FORMAT ?= clang-format-19
CLANG_TIDY ?= clang-tidy-19
VENV := .venv
BIN := $(VENV)/bin
BUILD := build
NODE := bindings/node
DIST := dist
JOBS ?= $(shell nproc)
quietly := tools/quietly.sh $(BUILD)/log
# Two builds of one folder at the same time break each other; with `make -j` they wait in turn.
building := flock $(BUILD)/.building $(quietly)

native_files := CMakeLists.txt VERSION $(shell find cmake include base core engines net serving shm command/types bindings/c command python/src -type f)
# ONNX Runtime's library in .venv, for programs outside of .venv. The shell expands the pattern when
# a command runs, because the library does not exist earlier.
onnxruntime := $$(echo $(CURDIR)/$(VENV)/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*)
# The oldest supported version (engines/onnxruntime/library.cpp), for the tests that run with both
# versions.
oldest_onnxruntime := $$(echo $(CURDIR)/$(BUILD)/onnxruntime-oldest/onnxruntime/capi/libonnxruntime.so.*)
with_onnxruntime := SIDECALL_ONNXRUNTIME="$(onnxruntime)" SIDECALL_ONNXRUNTIME_OLDEST="$(oldest_onnxruntime)"

export PIP_DISABLE_PIP_VERSION_CHECK := 1
install := tools/uv_install.sh $(VENV)
# All tests of one file run in one process, because they share servers, models and builds. There is
# one process more than CPUs, because many tests wait for a server, a deadline or a drain.
pytest_options := -n $(shell expr $(JOBS) + 1) --dist loadfile --durations=20 --durations-min=5

# npm_ci FOLDER: installs without running scripts of packages. It changes to the folder, because
# with --prefix npm would also look for the global npmrc there.
npm_ci := sh -c 'cd "$$1" && npm ci --ignore-scripts --no-audit --no-fund' npm_ci

# Runs make again with -j3, so that it downloads and compiles at the same time. If make was called
# with -j, that value is kept.
parallel = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j3)

.PHONY: help setup native net build build-with-net demo demo-all demo-setup docs test test-setup test-long test-long-setup test-c test-python test-node test-rust test-go test-java lint tidy format sanitize fuzz fuzz-long verify faults exits anomalies soak coverage parity bench report bench-quick bench-batch bench-network-setup bench-serving bench-balancing bench-capacity bench-cold-start bench-file-only bench-lambda bench-images bench-% image rollout package package-go package-java package-natives package-net package-node package-python package-rust package-setup clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*%*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

# Set-up.
$(BUILD)/.system: tools/system_packages.sh
	@mkdir -p $(BUILD)
	@tools/system_packages.sh "$(PYTHON)" $(BUILD)/log
	@touch $@

$(BUILD)/.system-lint: $(BUILD)/.system
	@command -v $(CLANG_FORMAT) >/dev/null || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log $(CLANG_FORMAT)
	@touch $@

$(BUILD)/.system-tidy: $(BUILD)/.system
	@command -v $(CLANG_TIDY) >/dev/null || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log $(CLANG_TIDY)
	@touch $@

$(BUILD)/.system-fuzz: $(BUILD)/.system
	@{ command -v clang++-19 && command -v protoc && pkg-config --exists protobuf; } >/dev/null || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log clang-19 libclang-rt-19-dev libprotobuf-dev protobuf-compiler
	@touch $@

$(BUILD)/.system-coverage: $(BUILD)/.system
	@{ command -v clang++-19 && command -v llvm-cov-19; } >/dev/null || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log clang-19 libclang-rt-19-dev llvm-19
	@touch $@

$(BUILD)/.system-rust: $(BUILD)/.system
	@{ cargo clippy --version && rustfmt --version; } >/dev/null 2>&1 || { PATH="/usr/bin:$$PATH" && cargo clippy --version && rustfmt --version; } >/dev/null 2>&1 || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log cargo rustfmt rust-clippy
	@touch $@

$(BUILD)/.system-go: $(BUILD)/.system
	@go version >/dev/null 2>&1 || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log golang-go
	@touch $@

$(BUILD)/.system-java: $(BUILD)/.system
	@{ javac --version && test -e /usr/share/java/junit-platform-console-standalone.jar; } >/dev/null 2>&1 || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log openjdk-25-jdk-headless junit5
	@touch $@

# The build with Maven uses the plugins of Debian, because it must not need the network.
maven_packages := maven libmaven-compiler-plugin-java libmaven-install-plugin-java libmaven-jar-plugin-java libmaven-resources-plugin-java libsurefire-java
$(BUILD)/.system-maven: $(BUILD)/.system-java
	@{ mvn --version && test -e /usr/share/maven-repo/org/apache/maven/plugins/maven-surefire-plugin && test -e /usr/share/maven-repo/org/apache/maven/plugins/maven-install-plugin; } >/dev/null 2>&1 || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log $(maven_packages)
	@touch $@

# gRPC's own clients, for tests of the server. Java's code generator fits this compiler only.
grpc_clients := golang-google-grpc-dev libgeronimo-annotation-1.3-spec-java libgrpc-java protobuf-compiler protobuf-compiler-grpc-java-plugin protoc-gen-go-1-5 protoc-gen-go-grpc
$(BUILD)/.system-grpc-clients: $(BUILD)/.system-go $(BUILD)/.system-java
	@test "$$(dpkg-query -W -f '$${db:Status-Status}\n' $(grpc_clients) 2>/dev/null | grep -cx installed)" = $(words $(grpc_clients)) || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log $(grpc_clients)
	@touch $@

# Jackson, for a test that reads generated records of Java from JSON.
$(BUILD)/.system-jackson: $(BUILD)/.system-java
	@test -e /usr/share/java/jackson-databind.jar || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log libjackson2-databind-java
	@touch $@

$(BUILD)/.system-net: $(BUILD)/.system
	@test -e /usr/include/protozero/pbf_reader.hpp || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log libprotozero-dev
	@touch $@

# The browser in which the page of the server is tested.
$(BUILD)/.system-browser: $(BUILD)/.system
	@command -v chromium >/dev/null || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log chromium
	@touch $@

# The authorities that this machine trusts, which go into an image.
$(BUILD)/.system-image: $(BUILD)/.system
	@test -e /etc/ssl/certs/ca-certificates.crt || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log ca-certificates
	@touch $@

# What builds and runs containers, and what checks the files of deploy/.
deploy_packages := buildah crun kustomize podman systemd
$(BUILD)/.system-deploy: $(BUILD)/.system-image
	@test "$$(dpkg-query -W -f '$${db:Status-Status}\n' $(deploy_packages) 2>/dev/null | grep -cx installed)" = $(words $(deploy_packages)) || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log $(deploy_packages)
	@touch $@

$(BUILD)/.system-verify: $(BUILD)/.system
	@command -v spin >/dev/null || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log spin
	@touch $@

$(BUILD)/.system-soak: $(BUILD)/.system
	@dpkg-query -W libfaketime >/dev/null 2>&1 || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log libfaketime
	@touch $@

# iceoryx, with which the channel is compared. Once the build finds the headers of iceoryx, it makes
# the programs that need them.
$(BUILD)/.system-bench-shm: | build
	@command -v iox-roudi >/dev/null || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log iceoryx libiceoryx-posh-dev
	@$(building) configure "configuring the build again" cmake -S . -B $(BUILD)
	@$(building) build "building the benchmark of the channel" cmake --build $(BUILD) -j $(JOBS)
	@touch $@

# Packages that the network approaches need: client libraries and brokers. Once the build finds the
# headers of the libraries, it makes the programs that need them.
network_packages := libcurl4-openssl-dev libgrpc++-dev libhiredis-dev libnats-dev librabbitmq-dev libprotobuf-dev librdkafka-dev nats-server protobuf-compiler-grpc rabbitmq-server redis-server
$(BUILD)/.system-network: | build
	@test "$$(dpkg-query -W -f '$${db:Status-Status}\n' $(network_packages) 2>/dev/null | grep -cx installed)" = $(words $(network_packages)) || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log $(network_packages)
	@$(building) configure "configuring the build again" cmake -S . -B $(BUILD)
	@$(building) build "building the clients and servers of the network benchmark" cmake --build $(BUILD) -j $(JOBS)
	@touch $@

$(VENV)/.created: | $(BUILD)/.system
	@$(quietly) venv "creating $(VENV)" $(PYTHON) -m venv $(VENV)
	@$(quietly) build-requirements "installing what builds the Python package" $(install) $$($(BIN)/python tools/requirements.py --build-only)
	@touch $@

# A separate step, so that the downloads run while the native code compiles.
$(VENV)/.requirements: $(VENV)/.created pyproject.toml tools/requirements.py
	@$(quietly) requirements "installing what the Python package and the demo need" $(install) $$($(BIN)/python tools/requirements.py export demo)
	@touch $@

$(VENV)/.tests: $(VENV)/.requirements
	@$(quietly) test-requirements "installing what the tests and make lint need" $(install) $$($(BIN)/python tools/requirements.py test lint)
	@touch $@

# The package is editable: a change of a Python file takes effect immediately. A change of a native
# file takes effect when this rule installs the package again, after `native` has compiled the file.
$(VENV)/.package: $(VENV)/.requirements pyproject.toml setup.py $(native_files) | native
	@CMAKE_ARGS="-DSIDECALL_PREBUILT=$(CURDIR)/$(BUILD)" $(quietly) editable "installing the Python package into $(VENV)" $(install) --no-deps --no-build-isolation --reinstall -e .
	@touch $@

$(BUILD)/onnxruntime-oldest/.created: tools/oldest_onnxruntime.sh $(VENV)/.created
	@$(quietly) onnxruntime-oldest "downloading the oldest ONNX Runtime that is supported, for tests" tools/oldest_onnxruntime.sh $(BIN)/python $(@D)
	@touch $@

# torch, for tests that run with `make test-long` only. Outside of Python's own index there are
# builds for CPUs, which are much smaller: UV_TORCH_BACKEND=cpu takes them.
$(VENV)/.torch: $(VENV)/.tests
	@$(quietly) torch-requirements "installing PyTorch, for tests" $(install) $$($(BIN)/python tools/requirements.py torch)
	@touch $@

# Ray and Spark, for tests that run with `make test-long` only, and for benchmarks/scaleout.
$(VENV)/.clusters: $(VENV)/.tests $(BUILD)/.system-java
	@$(quietly) cluster-requirements "installing Ray and Spark, for tests" $(install) $$($(BIN)/python tools/requirements.py test ray spark)
	@touch $@

# What drives the browser, and axe-core. They are for tests that run with `make test-long` only.
$(VENV)/.browser: $(VENV)/.tests
	@$(quietly) browser-requirements "installing what drives a browser, for tests" $(install) $$($(BIN)/python tools/requirements.py browser)
	@touch $@

# What checks the files of deploy/, for tests that run with `make test-long` only.
$(VENV)/.deploy: $(VENV)/.tests
	@$(quietly) deploy-requirements "installing what checks the files of deploy/" $(install) $$($(BIN)/python tools/requirements.py deploy)
	@touch $@

$(VENV)/.bench: $(VENV)/.tests
	@$(quietly) bench-requirements "installing what the benchmarks compare with" $(install) $$($(BIN)/python tools/requirements.py bench)
	@touch $@

# Servers and clients of the network approaches that are installed outside of .venv.
$(BUILD)/peers/.created: benchmarks/network/peers.py benchmarks/network/servers/prediction.proto $(VENV)/.bench
	@$(quietly) peers "installing servers and clients of the network approaches" $(BIN)/python benchmarks/network/peers.py --build $(BUILD)
	@touch $@

$(BUILD)/peers/node/.created: benchmarks/network/clients/node/package-lock.json | $(BUILD)/.system
	@mkdir -p $(@D) && cp benchmarks/network/clients/node/package.json benchmarks/network/clients/node/package-lock.json $(@D)
	@$(quietly) npm-network "installing the Node.js clients of the network approaches" $(npm_ci) $(@D)
	@touch $@

# Lambda's emulator, for tests that run with `make test-long` only, and for the benchmark.
$(BUILD)/lambda/.created: tools/lambda_emulator.sh $(VENV)/.created
	@$(quietly) lambda "installing the emulator of AWS Lambda, for tests" tools/lambda_emulator.sh $(BIN)/python $(@D)
	@touch $@

# The headers with which the addon is built, and the tools that check it.
$(NODE)/node_modules/.created: $(NODE)/package-lock.json | $(BUILD)/.system
	@$(quietly) npm "installing what the Node.js addon is built and checked with" $(npm_ci) $(NODE)
	@touch $@

# onnxruntime-node, for the benchmark and for tests that load it into their process. It is installed
# outside of the source tree, because it takes 291 MB.
$(BUILD)/node-peers/.created: benchmarks/node/package-lock.json | $(BUILD)/.system
	@mkdir -p $(@D) && cp benchmarks/node/package.json benchmarks/node/package-lock.json $(@D)
	@$(quietly) npm-peers "installing onnxruntime-node, for tests and benchmarks" $(npm_ci) $(@D)
	@touch $@

# Other engines for trees. They take 700 MB, and only this benchmark needs them.
$(BUILD)/engine-peers/.created: benchmarks/engine/install_peers.sh benchmarks/engine/requirements.txt | $(VENV)/.bench
	@$(quietly) engine-peers "installing other engines for trees" benchmarks/engine/install_peers.sh $(BIN)/python $(@D)
	@touch $@

examples/node/node_modules/.created: examples/node/package-lock.json | $(BUILD)/.system
	@$(quietly) npm-examples "installing what the Node.js examples need" $(npm_ci) examples/node
	@ln -sfn ../../../$(NODE) $(@D)/sidecall
	@touch $@

# What `make docs` builds the site with. No other target needs it.
$(VENV)/.docs: pyproject.toml tools/requirements.py | $(VENV)/.package
	@$(quietly) docs-requirements "installing what the documentation is built with" $(install) $$($(BIN)/python tools/requirements.py docs)
	@touch $@

$(BUILD)/docs/node/.created: docs/typedoc/package-lock.json | $(BUILD)/.system
	@mkdir -p $(@D) && cp docs/typedoc/package.json docs/typedoc/package-lock.json $(@D)
	@$(quietly) npm-docs "installing TypeDoc, for the reference of the Node.js package" $(npm_ci) $(@D)
	@touch $@

$(BUILD)/build.ninja: $(BUILD)/.system $(NODE)/node_modules/.created $(VENV)/.created
	@$(building) configure "configuring the build" cmake -S . -B $(BUILD) -G Ninja -DSIDECALL_WERROR=ON -DSIDECALL_BUILD_TESTS=ON -DSIDECALL_BUILD_BENCHMARKS=ON -DSIDECALL_BUILD_NODE=ON -DSIDECALL_BUILD_PYTHON=ON -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python
	@touch $@

# What users get, and the programs of the demo.
native: $(BUILD)/build.ninja
	@$(building) build-native "building libsidecall, the command, the Node.js addon and the Python module" cmake --build $(BUILD) -j $(JOBS) --target sidecall sidecall-cli sidecall-node sidecall-python demo-c demo-cpp
	@cmake -E make_directory $(NODE)/build/bin
	@cmake -E copy_if_different $(BUILD)/lib/sidecall.node $(NODE)/build
	@cmake -E copy_if_different $(BUILD)/bin/sidecall $(NODE)/build/bin

# The libraries inside libsidecall-net.so.
$(BUILD)/net-libraries/.created: $(wildcard net/libraries/*) | $(VENV)/.created
	@JOBS=$(JOBS) PYTHON=$(BIN)/python $(quietly) net-libraries "downloading and building libcurl, llhttp, nghttp2 and Mbed TLS" net/libraries/build.sh $(BUILD)/net-libraries
	@touch $@

net: native $(BUILD)/net-libraries/.created $(BUILD)/.system-net ## build libsidecall-net.so, for models on other hosts
	@grep -q SIDECALL_BUILD_NET:BOOL=ON $(BUILD)/CMakeCache.txt || $(building) configure "configuring the build again" cmake -S . -B $(BUILD) -DSIDECALL_BUILD_NET=ON
	@$(building) build-net "building libsidecall-net.so" cmake --build $(BUILD) -j $(JOBS) --target sidecall-net replay-net_message replay-net_server

build_all = $(building) build "building the examples, the C tests and the benchmarks" cmake --build $(BUILD) -j $(JOBS)

build: native ## build libsidecall, the command, the Node.js addon, the C tests and examples in build/
	@$(build_all)

# After net, because net may configure the build again, which adds what was not found before.
build-with-net: net
	@$(build_all)

test-setup: build-with-net $(VENV)/.package $(VENV)/.tests $(BUILD)/onnxruntime-oldest/.created examples/node/node_modules/.created

setup: test-setup $(VENV)/.bench $(BUILD)/node-peers/.created $(BUILD)/.system-network $(BUILD)/peers/.created $(BUILD)/peers/node/.created ## install and build everything that the other targets need

# Jobs.
demo-setup: native $(VENV)/.package

demo: ## train and export a model, then call it from C, C++, Node.js, Python and the shell
	+@$(parallel) demo-setup
	@$(BIN)/python examples/demo/demo.py --build $(BUILD)

# Toolchains for Go, Rust and Java come from Debian, if they are missing.
demo-all: demo-setup net $(BUILD)/.system-rust $(BUILD)/.system-go $(BUILD)/.system-java ## the same, and from Go, Rust and Java, and over shared memory, HTTP and gRPC
	@$(quietly) demo-all "compiling the programs in Go, Rust and Java" examples/demo/build_all.sh $(BUILD)
	@$(BIN)/python examples/demo/demo.py --build $(BUILD) --all

test: test-c test-node test-python ## run the tests; make test-long runs those that take long

test-c: test-setup
	@$(with_onnxruntime) ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS) --no-tests=error

test-node: test-setup
	@$(with_onnxruntime) tools/test_node.sh tests/node $(BUILD)

test-python: test-setup
	@$(BIN)/python -m pytest $(pytest_options)

test-rust: build-with-net $(BUILD)/.system-rust $(VENV)/.package ## check and test the Rust crates
	@$(with_onnxruntime) tools/test_rust.sh $(BUILD)

test-go: net $(BUILD)/.system-go $(VENV)/.package ## check and test the Go module
	@$(with_onnxruntime) tools/test_go.sh $(BUILD)

test-java: net $(BUILD)/.system-maven $(VENV)/.package ## check and test the Java module
	@$(with_onnxruntime) tools/test_java.sh $(BUILD)

# What only the long tests need.
test-long-setup: setup $(BUILD)/.system-rust $(BUILD)/.system-maven $(BUILD)/.system-jackson $(BUILD)/.system-soak $(BUILD)/.system-browser $(BUILD)/.system-grpc-clients $(BUILD)/.system-deploy $(VENV)/.browser $(VENV)/.deploy $(VENV)/.torch $(BUILD)/lambda/.created $(VENV)/.clusters

test-long: test-long-setup test-rust test-go test-java ## run the tests that take long: Rust, Go, Java, packages, benchmarks, exits, and short forms of anomalies and soak
	@$(BIN)/python -m pytest $(pytest_options) -m long

lint: build $(VENV)/.package $(VENV)/.tests $(BUILD)/.system-lint ## check formatting, types, warnings, layer boundaries and the ABI
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	git ls-files '*.c' '*.cpp' '*.h' '*.hpp' | xargs -r $(CLANG_FORMAT) --dry-run -Werror
	$(NODE)/node_modules/.bin/biome check --error-on-warnings .
	$(NODE)/node_modules/.bin/tsc --project $(NODE)
	$(BIN)/python tools/check_abi.py --library $(BUILD)/lib/libsidecall.so
	$(BIN)/python tools/check_includes.py
	$(BIN)/python tools/check_files.py
	$(BIN)/python tools/check_names.py
	$(BIN)/python tools/generate_declarations.py --check
	CLANG_FORMAT=$(CLANG_FORMAT) $(BIN)/python tools/generate_options.py --check
	$(BIN)/python tools/onnx_fields.py

# TIDY_BASE=COMMIT checks the files that changed since that commit, TIDY=all checks every file.
tidy: $(BUILD)/build.ninja $(BUILD)/.system-tidy ## run clang-tidy on the native files that changed; TIDY=all checks every file
	@cmake --build $(BUILD) --target build.ninja >$(BUILD)/log/configure.log
	@$(BIN)/python tools/tidy.py $(BUILD) --clang-tidy $(CLANG_TIDY) --jobs $(JOBS) $(if $(filter all,$(TIDY)),--all,--base "$(TIDY_BASE)")

format: $(VENV)/.tests $(BUILD)/.system-lint $(NODE)/node_modules/.created ## reformat the code with ruff, clang-format and biome
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	git ls-files '*.c' '*.cpp' '*.h' '*.hpp' | xargs -r $(CLANG_FORMAT) -i
	$(NODE)/node_modules/.bin/biome check --write .

docs: report $(VENV)/.docs $(BUILD)/docs/node/.created $(BUILD)/.system-rust $(BUILD)/.system-go $(BUILD)/.system-java ## build the documentation site in build/docs/html, and check its links
	@$(quietly) typedoc "reading the types of the Node.js package" sh -c 'cd $(BUILD)/docs/node && node_modules/.bin/typedoc --options $(CURDIR)/docs/typedoc/typedoc.json --out $(CURDIR)/$(BUILD)/docs/typedoc'
	@$(quietly) godoc "reading the comments of the Go module" sh -c 'cd bindings/go && go doc -all . >$(CURDIR)/$(BUILD)/docs/go.txt'
	@$(quietly) sphinx "building the documentation" $(BIN)/sphinx-build -c docs -E -W --keep-going -q -b html . $(BUILD)/docs/html
	@$(quietly) javadoc "writing the reference of the Java package" sh -c 'javadoc -quiet --release 22 -d $(BUILD)/docs/html/java --module-source-path dev.sidecall=bindings/java/src/main/java --module dev.sidecall'
	@$(quietly) rustdoc "writing the reference of the Rust crate" tools/rust_docs.sh $(BUILD)
	@echo "$(BUILD)/docs/html/index.html"

sanitize: test-setup ## run the C and vector tests under AddressSanitizer and UBSan, those with threads under ThreadSanitizer, and servers for HTTP and gRPC under both
	@$(with_onnxruntime) tools/sanitize.sh $(BUILD) $(BIN)/python address,undefined $(JOBS)
	@$(with_onnxruntime) tools/sanitize.sh $(BUILD) $(BIN)/python thread $(JOBS) threads

fuzz: $(BUILD)/.system-fuzz $(BUILD)/.system-net $(BUILD)/net-libraries/.created $(VENV)/.package ## fuzz everything that a stranger writes: files, texts, the messages of clients and servers; and compare the engines; a minute each
	@$(BIN)/python tests/fuzz/campaign.py --build $(BUILD) --quick
	@$(BIN)/python tests/native/random_graphs.py --graphs 3000 --rows 240

# TARGETS="answer csv" fuzzes these alone, and keeps the results of the others.
fuzz-long: $(BUILD)/.system-fuzz $(BUILD)/.system-net $(BUILD)/net-libraries/.created $(VENV)/.package ## the same, five million inputs each, or a million model files, and a million rows for the engines; writes results: two hours; TARGETS="answer csv"
	@$(BIN)/python tests/fuzz/campaign.py --build $(BUILD) $(TARGETS)
	@$(BIN)/python tests/native/random_graphs.py --graphs 1000 --rows 1000

verify: $(BUILD)/.system-verify ## check the sleep and wake-up protocol of the channel's ring with the model checker SPIN
	@tests/verify/check.sh $(BUILD)

faults: test-setup ## kill processes at each step of the channel, ten thousand times
	@SIDECALL_LONG=1 $(BIN)/python -m pytest -m "" tests/faults

exits: test-setup ## end programs in each way, a thousand times each, in all states: more than an hour
	@SIDECALL_LONG=1 $(BIN)/python -m pytest -m long tests/exits

anomalies: test-setup $(VENV)/.bench ## make allocations and system calls fail, one after the other: about an hour; writes results
	@$(with_onnxruntime) $(BIN)/python tests/anomalies/campaign.py --build $(BUILD)

# MINUTES=3 for a look; SEED=1 chooses other moments.
MINUTES ?= 30
soak: test-setup $(VENV)/.bench $(BUILD)/.system-soak ## servers and clients while processes are killed, disks full and clocks jump; needs root or namespaces; MINUTES=30
	@$(with_onnxruntime) $(BIN)/python tests/soak/soak.py --build $(BUILD) --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

coverage: test-setup $(VENV)/.bench $(BUILD)/node-peers/.created $(BUILD)/.system-coverage $(BUILD)/.system-soak ## which lines and branches of the native code the tests reach; writes docs/test-coverage.md and results
	@$(with_onnxruntime) tools/coverage.sh $(BUILD) $(JOBS) $(CURDIR)/$(BIN)/python

parity: build $(VENV)/.package $(VENV)/.bench ## compare exported files with their originals on random pipelines and adversarial rows, on both engines: about an hour
	@$(BIN)/python tests/parity/run.py --build $(BUILD)

bench: bench-network ## measure every route, its rivals and the network approaches; write results and the report
	@$(MAKE) --no-print-directory report

# The README shows latency.svg, so this picture is in the repository.
report: $(VENV)/.bench ## write what the results say in build/report, without measuring
	@$(BIN)/python benchmarks/network/page/write.py --out $(BUILD)/report
	@$(BIN)/python benchmarks/engine/page_of_engine.py $(BUILD)/report
	@cp $(BUILD)/report/latency.svg benchmarks/latency.svg

bench-quick: bench-network-setup ## a quick look in under five minutes, written to build/bench
	@$(BIN)/python benchmarks/network/run.py --build $(BUILD) --quick --output $(BUILD)/bench/results/network.json

bench-network: bench-network-setup
bench-network-setup: setup $(VENV)/.clusters
bench-node: $(BUILD)/node-peers/.created
bench-reliability: net
bench-shm: $(BUILD)/.system-bench-shm
bench-languages: $(BUILD)/.system-rust $(BUILD)/.system-go $(BUILD)/.system-java
bench-engine: $(BUILD)/engine-peers/.created $(BUILD)/node-peers/.created
# These need what the network approaches need; their results are parts of network.json.
bench-serving: build-with-net bench-network-setup ## measure the server for HTTP and gRPC beside its peers and a bare echo
	@$(BIN)/python benchmarks/network/serving.py --build $(BUILD)

bench-balancing: build-with-net bench-network-setup ## measure how our client spreads calls over one, two and four servers
	@$(BIN)/python benchmarks/network/balancing.py --build $(BUILD)

bench-capacity: build-with-net bench-network-setup ## compare how long busy servers take with what a queueing model predicts
	@$(BIN)/python benchmarks/scaleout/capacity.py --build $(BUILD)

bench-cold-start: build-with-net $(VENV)/.package $(VENV)/.bench $(VENV)/.tests ## measure how soon new processes give their first answer, and their memory
	@$(BIN)/python benchmarks/scaleout/cold_start.py --build $(BUILD)

bench-images: build-with-net $(VENV)/.package $(VENV)/.bench $(BUILD)/.system-image ## measure the sizes of the images, and how long their servers take to start
	@$(BIN)/python benchmarks/scaleout/images.py --build $(BUILD)

bench-lambda: $(VENV)/.package $(VENV)/.bench $(BUILD)/lambda/.created package-setup ## measure cold starts of functions of AWS Lambda in its emulator, beside Python's
	@$(quietly) portable-command "building the command for glibc 2.28" $(portable_build) sidecall-cli
	@$(BIN)/python benchmarks/scaleout/lambda.py --build $(BUILD)

bench-file-only: build $(VENV)/.package $(VENV)/.bench ## measure what the network route costs a program that opens only files
	@$(BIN)/python benchmarks/network/file_only.py --build $(BUILD)

bench-queues: bench-network-setup ## kill the consumers of examples/queue 100 times under load: no message may be lost or doubled
	@$(BIN)/python benchmarks/scaleout/queues.py --build $(BUILD)

bench-batch: build $(VENV)/.package $(VENV)/.bench $(VENV)/.clusters ## measure Spark and Ray Data beside scikit-learn, with nodes that are killed; writes scaleout.json
	@$(BIN)/python benchmarks/scaleout/batch.py --build $(BUILD)

rollout: build-with-net $(VENV)/.package $(VENV)/.bench ## replace two servers under load, 1,200 times: no call may fail
	@$(BIN)/python benchmarks/network/rollout.py --build $(BUILD)

bench-reliability: net
bench-%: build $(VENV)/.package $(VENV)/.bench ## run one benchmark, for example make bench-inproc
	@$(BIN)/python benchmarks/$*/run.py --build $(BUILD)

# The packages must also run on older systems than this one. Therefore their native code is compiled
# separately, in $(BUILD)/portable, once for all packages.
portable_build := tools/portable_build.sh $(CURDIR)/$(BIN)/python $(CURDIR)/$(BUILD)/portable $(JOBS)

# The machines for which the packages of Go, Rust and Java have a library. A release has all:
# MACHINES="x86_64 aarch64". The wheel and the npm packages are for this machine.
MACHINES ?= $(shell uname -m)
portable_natives := tools/package/natives.sh $(CURDIR)/$(BIN)/python $(CURDIR)/$(BUILD)/portable $(JOBS) $(MACHINES)
package_options = --natives $(BUILD)/portable-natives --out $(DIST)/$(subst package-,,$@) $(MACHINES)

package: package-python package-node package-net package-go package-rust package-java ## build the packages of all languages in dist/; MACHINES="x86_64 aarch64"
	@ls -1 $(DIST) $(DIST)/slim

package-setup: $(VENV)/.created $(VENV)/.requirements $(NODE)/node_modules/.created
	@$(quietly) package-requirements "installing build and ziglang" $(install) build ziglang==0.17.1

package-python: package-setup ## build only the sdist and the wheel
	@$(quietly) portable-python "building the Python module and the command for glibc 2.28" $(portable_build) sidecall-python sidecall-cli
	@$(quietly) sdist "packing the sdist" $(BIN)/python -m build --no-isolation --sdist --outdir $(DIST)
	@rm -rf $(BUILD)/python/lib.* $(BUILD)/python/temp.*
	@CMAKE_ARGS="-DSIDECALL_PREBUILT=$(CURDIR)/$(BUILD)/portable" $(quietly) wheel "packing the wheel" $(BIN)/python -m build --no-isolation --wheel --outdir $(DIST) "-C--build-option=--plat-name=manylinux_2_28_$$(uname -m)"

package-node: package-setup ## build only the npm tarballs
	@$(quietly) portable-node "building the Node.js addon and the command for glibc 2.28" $(portable_build) sidecall-node sidecall-cli
	@$(quietly) npm-pack "packing for npm" node $(NODE)/scripts/pack.js --build $(BUILD)/portable --onnxruntime "$(onnxruntime)" --out $(DIST)

package-net: package-setup $(BUILD)/.system-net ## build only the packages of libsidecall-net.so
	@$(quietly) portable-net "building libsidecall-net.so for glibc 2.28" $(portable_build) sidecall-net
	@$(quietly) package-net "packing libsidecall-net.so" $(BIN)/python tools/package/net.py --build $(BUILD)/portable --out $(DIST)

# No package, because it is not for other machines: the libraries in it are those of this machine.
# Its programs are built once more, because those of build/ contain the route of the tests.
image_build := $(BUILD)/image
image: $(BUILD)/net-libraries/.created $(BUILD)/.system-net $(VENV)/.requirements $(BUILD)/.system-image ## assemble the root file systems of container images in dist/image
	@mkdir -p $(image_build) && ln -sfn ../net-libraries $(image_build)/net-libraries
	@$(quietly) configure-image "configuring the build of the images" cmake -S . -B $(image_build) -G Ninja -DSIDECALL_BUILD_NET=ON
	@$(quietly) build-image "building the command and libsidecall-net.so for the images" cmake --build $(image_build) -j $(JOBS) --target sidecall-cli sidecall-net
	@$(quietly) image "assembling dist/image/native and dist/image/full" sh -c '"$$@" --out $(DIST)/image/native && "$$@" --out $(DIST)/image/full --net --onnxruntime "$(onnxruntime)"' sh $(BIN)/python tools/package/image.py --build $(image_build)
	@tools/package/no_test_route.sh $(DIST)/image

$(BUILD)/.system-aarch64: $(BUILD)/.system
	@command -v aarch64-linux-gnu-objcopy >/dev/null || tools/system_packages.sh "$(PYTHON)" $(BUILD)/log binutils-aarch64-linux-gnu
	@touch $@

package-natives: package-setup $(if $(filter aarch64,$(MACHINES)),$(BUILD)/.system-aarch64)
	@$(quietly) portable-natives "building libsidecall for glibc 2.28, for programs in Go, Rust and Java" $(portable_natives)

package-go: package-natives ## build only the Go module
	@$(quietly) package-go "packing the Go module" $(BIN)/python tools/package/go.py $(package_options)

package-rust: package-natives $(BUILD)/.system-rust ## build only the Rust crates
	@$(quietly) package-rust "packing the Rust crates" $(BIN)/python tools/package/rust.py $(package_options)

package-java: package-natives $(BUILD)/.system-java ## build only the jars
	@$(quietly) package-java "packing the jars" $(BIN)/python tools/package/java.py $(package_options)

clean: ## remove everything that make created
	rm -rf $(BUILD) $(VENV) docs/reference/generated dist $(NODE)/build $(NODE)/node_modules examples/node/node_modules python/sidecall.egg-info python/sidecall/_native*.so python/sidecall/libsidecall-*.so python/sidecall/include
