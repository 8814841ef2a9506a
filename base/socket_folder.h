// The folder in which servers with a name listen: the rules of shm/PROTOCOL.md, section 1.
#pragma once

#include <string>

namespace sidecall {

// The folder of this user. It need not exist; the first server makes it.
std::string socket_folder();

// What is wrong with something that exists and is used as this folder, as the text of a message;
// nullptr if nothing is wrong: it is a real folder of this user that no other user may write to. If
// its status cannot be read, the text is nullptr too, and `error_number` receives errno.
const char* socket_folder_fault(const std::string& folder, int* error_number) noexcept;

}  // namespace sidecall
