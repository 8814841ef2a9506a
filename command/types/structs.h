// Writes the types of a model's records as structs of Go and Rust, and as records of Java. Used by
// languages.cpp.
#pragma once

#include <functional>
#include <set>
#include <string>

#include "record_types.h"

namespace sidecall {

// The complete source, always the same for the same model. The names of all types begin with
// `name`; in Go they lie in a package of this name. Throw NO_CONTRACT if the file has no contract,
// and java_records() UNSUPPORTED if it has more features or columns than a record of Java can have.
std::string go_structs(const RecordTypes& types, const std::string& name);
std::string rust_structs(const RecordTypes& types, const std::string& name);
// Of `options`, "jackson" adds the annotations that Jackson reads, and "builder" a builder.
std::string java_records(const RecordTypes& types, const std::string& name,
                         const std::set<std::string, std::less<>>& options);

}  // namespace sidecall
