// Finds and checks the folder in which servers that have a name listen. The rules are in
// shm/PROTOCOL.md, section 1.
#pragma once

#include <string>
#include <string_view>

namespace sidecall {

// The folder of this user. It need not exist; the first server makes it.
std::string socket_folder();

// Decodes an address that begins with '/': percent signs, and two slashes in front. If it is wrong,
// `fault` receives the text for an error message, otherwise nullptr.
std::string decode_socket_path(std::string_view address, const char** fault);

// Checks an existing socket folder: it must be a folder and not a link, belong to this user, and
// not be writable by other users. Returns the text for an error message, or nullptr if all of this
// holds. If the status of the folder cannot be read, also returns nullptr, and `error_number`
// receives errno; otherwise `error_number` receives 0.
const char* socket_folder_fault(const std::string& folder, int* error_number) noexcept;

}  // namespace sidecall
