// An event in a queue, with the text that its completion gets. server_options.cpp posts it, and
// queue.cpp takes it.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "core/abi/texts.h"
#include "core/queue/queue.h"

namespace sidecall {

struct Event final : QueuedEvent {
  Event(uint64_t chosen_tag, std::string&& given)
      : QueuedEvent(chosen_tag, given.size()),
        text(std::make_unique<OwnedText>(std::move(given))) {}
  std::unique_ptr<OwnedText> text;
};

}  // namespace sidecall
