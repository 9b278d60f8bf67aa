// Rows added to A, or taken out, without the others: A += sign w [Z~ Q r]'[Z~ Q r], in the coordinates that A has.
//
// Any affine map of the columns gives the right criterion, so the new rows are mapped as the old ones were. Afterwards
// Q and r are made what they are in a new A, by the triangle of the new Q'WQ: Q'WQ = n I, and r orthogonal to Q.
// A row has a place where its levels exist and have met before, or row_places.hpp can make room for them.
#pragma once

#include "core/cross_products.hpp"

namespace henderson {

enum class RowUpdate {
  done,
  no_place,  // A is to be built from all rows
  not_there  // rows to be taken out that A cannot have
};

// Rows count `power` times from now on: A, the number of observations and the sum of log weights.
void temper(CrossProducts& a, double power);

// sign: 1 to add the rows, -1 to take them out. Unless it is done, `a` is spoilt. Levels of `rows` are those of A, then
// new ones.
[[nodiscard]] RowUpdate update_rows(CrossProducts& a, const ModelData& rows, double sign);

}  // namespace henderson
