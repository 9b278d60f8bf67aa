// What the bindings throw about their arguments.
#pragma once

#include <stdexcept>
#include <string>

#include "core/types.hpp"

namespace henderson {

// A NaN or an infinity: which kind of column ("y", "x", "z", "weights"), which of them, which row.
struct NonFinite : std::runtime_error {
  NonFinite(std::string what_kind, Index which, Index at)
      : std::runtime_error("non-finite value"), kind(std::move(what_kind)), index(which), row(at) {}
  std::string kind;
  Index index, row;
};

// A column whose largest value is so large, or so small, that squares leave the range of double precision.
struct OutOfScale : NonFinite {
  using NonFinite::NonFinite;
};

}  // namespace henderson
