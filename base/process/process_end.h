// Tells whether this process has begun to end, for libraries whose objects are destroyed then while
// other threads still use them.
#pragma once

namespace sidecall {

// Registers an exit handler, which sets a flag. It runs before all handlers and destructors that
// were registered earlier. So call this function after a library was loaded, because loading
// registers the library's destructors. The handler is never removed and takes a few bytes.
void watch_process_end() noexcept;

// Whether exit() has begun. Code asks this after it has used objects of a watched library: if the
// answer is false, the objects were intact.
bool is_process_ending() noexcept;

}  // namespace sidecall
