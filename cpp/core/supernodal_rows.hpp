// Solves with a supernodal factor for many right-hand sides at once, each a row of x (m, q).
//
//   x := x L^-T    then    x := x L^-1        (the rows of L^-1 x' and L^-T x')
//
// The m values of one scalar lie side by side: every operation, down to a supernode of a single column, runs over them.
// Nothing is shared: threads may solve different blocks of right-hand sides with one factor.
#pragma once

#include "core/supernodal.hpp"

namespace henderson {

// `work` is scratch that grows to (m, longest R_J).
void solve_lower_rows(const SupernodalLayout& layout, const double* values, Matrix& x, Matrix& work);
void solve_upper_rows(const SupernodalLayout& layout, const double* values, Matrix& x, Matrix& work);

}  // namespace henderson
