// Levels of a single grouping factor whose Z_j'WZ_j are equal to the last bit (designed experiments, visits that all
// subjects keep) are laid side by side, so that a run of them is factored once and counted as often as it occurs.
#pragma once

#include "core/cross_products.hpp"

namespace henderson {

// Reorders the leading positions, with gram and xy, where at most half of the blocks differ from each other.
void join_equal_levels(CrossProducts& a);

}  // namespace henderson
