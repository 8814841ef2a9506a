// What a fork does to resources of this process: an object that owns one releases it in the child,
// before fork() returns there. Used by owners of descriptors and mappings.
#pragma once

namespace sidecall {

// An object that must release a resource in a forked child. The objects form one linked list per
// process, so an owner needs no heap allocation and may be moved.
class ForkAware {
 public:
  ForkAware(const ForkAware&) = delete;
  ForkAware& operator=(const ForkAware&) = delete;

 protected:
  ForkAware() = default;
  ~ForkAware() { unwatch(); }
  // From now on in_child() is called in a forked child. Calling watch() twice is harmless.
  void watch() noexcept;
  void unwatch() noexcept;

  // Runs in the child, where the calling thread is the only one: only system calls and plain stores
  // are allowed, no locks and no heap.
  virtual void in_child() noexcept = 0;

 private:
  friend struct ForkList;
  ForkAware* previous_ = nullptr;
  ForkAware* next_ = nullptr;
  bool is_watched_ = false;
};

}  // namespace sidecall
