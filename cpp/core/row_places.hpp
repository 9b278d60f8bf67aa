// Room in A for levels, and meetings of levels, that new rows have and A does not: zeros, to which the rows are added.
//
// New levels come last among those of their factor and in the order of elimination. A leading level that meets another
// trailing level leaves its pattern for one of its own. This takes a dense trailing block, or none, and no leaves: a
// sparse one has an order of elimination and a pattern that follow from all meetings at once.
#pragma once

#include "core/cross_products.hpp"

namespace henderson {

// False, with A as it was, where new levels cannot have room. Meetings in a sparse block or of leaves are left as they
// are.
[[nodiscard]] bool make_room(CrossProducts& a, const ModelData& rows);

}  // namespace henderson
