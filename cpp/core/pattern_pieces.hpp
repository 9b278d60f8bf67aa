// Runs of leading positions, cut where one pattern ends and the next begins: the unit of work of everything that walks
// over the coupling once and is shared by threads.
#pragma once

#include <algorithm>
#include <span>

#include "core/cross_products.hpp"

namespace henderson {

struct Piece {
  const Pattern* pattern = nullptr;
  Index first = 0;  // leading position
  Index count = 0;
};

// Calls visit(piece) for the parts of patterns between the leading positions begin and end.
template <class Visit>
void for_each_piece(const EliminationPlan& plan, Index begin, Index end, Visit&& visit) {
  auto pattern = std::upper_bound(plan.patterns.begin(), plan.patterns.end(), begin,
                                  [](Index position, const Pattern& p) { return position < p.first; });
  if (pattern != plan.patterns.begin()) --pattern;
  for (; begin < end && pattern != plan.patterns.end(); ++pattern) {
    const Index stop = std::min(end, pattern->first + pattern->count);
    if (stop > begin) visit(Piece{&*pattern, begin, stop - begin});
    begin = std::max(begin, stop);
  }
}

// The trailing scalars of a pattern, ascending.
[[nodiscard]] inline std::span<const Code> rows_of(const EliminationPlan& plan, const Pattern& pattern) {
  return {plan.pattern_rows.data() + pattern.rows_begin, static_cast<std::size_t>(pattern.rows_count)};
}

// The coupling of the levels of a piece, (rows, count * s)
[[nodiscard]] inline Eigen::Map<const Matrix> panel_of(const CrossProducts& a, const Piece& piece) {
  const Index s = a.leading().effects;
  const Index skipped = (piece.first - piece.pattern->first) * s * piece.pattern->rows_count;
  return {a.coupling.data() + piece.pattern->values_begin + skipped, piece.pattern->rows_count, piece.count * s};
}

}  // namespace henderson
