#include "core/equal_levels.hpp"

#include <numeric>
#include <string_view>
#include <unordered_map>

#include "core/blocked_cholesky.hpp"

namespace henderson {

namespace {

// Number of each level's block among the different ones, by first appearance, and how many there are.
Index number_blocks(const Matrix& packed, std::vector<Index>& number) {
  std::unordered_map<std::string_view, Index> known;
  for (Index level = 0; level < packed.cols(); ++level) {
    const std::string_view bytes(reinterpret_cast<const char*>(packed.col(level).data()),
                                 static_cast<std::size_t>(packed.rows()) * sizeof(double));
    number.push_back(known.try_emplace(bytes, static_cast<Index>(known.size())).first->second);
    if (2 * static_cast<Index>(known.size()) > packed.cols()) break;
  }
  return static_cast<Index>(known.size());
}

void reorder(const std::vector<Code>& position, Index entries, AlignedVector<double>& lanes) {
  AlignedVector<double> moved(lanes.size(), 0.0);
  Vector values(entries);
  for (std::size_t level = 0; level < position.size(); ++level) {
    load_level(lanes.data(), static_cast<Index>(level), values);
    store_level(values, position[level], moved.data());
  }
  lanes.swap(moved);
}

}  // namespace

void join_equal_levels(CrossProducts& a) {
  const Group& lead = a.leading();
  const Index triangle = triangle_size(lead.effects);
  if (a.plan.has_trailing() || lead.effects == 1) return;  // nothing is saved on a number, or a pattern sets the order
  Matrix packed(triangle, lead.levels);
  for (Index level = 0; level < lead.levels; ++level) load_level(a.gram.data(), level, packed.col(level));
  std::vector<Index> number;
  const Index different = number_blocks(packed, number);
  if (2 * different > lead.levels) return;
  std::vector<Index> next(static_cast<std::size_t>(different) + 1, 0);
  for (const Index own : number) ++next[static_cast<std::size_t>(own) + 1];
  std::partial_sum(next.begin(), next.end(), next.begin());
  for (const Index own : number) a.plan.position.push_back(static_cast<Code>(next[static_cast<std::size_t>(own)]++));
  reorder(a.plan.position, triangle, a.gram);
  reorder(a.plan.position, lead.effects * a.columns(), a.xy);
}

}  // namespace henderson
