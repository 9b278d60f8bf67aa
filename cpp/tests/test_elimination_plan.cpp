#include <algorithm>
#include <set>

#include "tests/check.hpp"
#include "tests/designs.hpp"

namespace henderson::testing {

namespace {

// The trailing scalars that each leading level meets, by position.
std::vector<std::set<Code>> meetings(const Design& design, const EliminationPlan& plan) {
  std::vector<std::set<Code>> out(static_cast<std::size_t>(plan.groups[0].levels));
  for (std::size_t row = 0; row < static_cast<std::size_t>(design.rows()); ++row) {
    const Code leading = design.codes[static_cast<std::size_t>(plan.groups[0].factor)][row];
    auto& own = out[static_cast<std::size_t>(plan.place(leading))];
    for (std::size_t g = 1; g < plan.groups.size(); ++g) {
      const Code rank = plan.rank_of(g, design.codes[static_cast<std::size_t>(plan.groups[g].factor)][row]);
      for (Index e = 0; e < plan.groups[g].effects && !is_leaf(rank); ++e)
        own.insert(static_cast<Code>(plan.trailing.node_offset[static_cast<std::size_t>(rank)] + e));
    }
  }
  return out;
}

template <class Body>
void for_each_plan(const std::vector<Recipe>& recipes, Body&& body) {
  for (const Recipe& recipe : recipes) {
    const Scope scope(recipe.name);
    const Design design = draw(recipe);
    body(design, plan_elimination(design.data()));
  }
}

}  // namespace

TEST(plan_stacks_the_terms_of_a_factor_and_leads_with_the_cheapest) {
  for_each_plan(all_recipes(), [](const Design& design, const EliminationPlan& plan) {
    std::vector<int> seen(design.z.size(), 0);
    for (std::size_t g = 0; g < plan.groups.size(); ++g) {
      const Group& group = plan.groups[g];
      CHECK(group.levels == design.levels[static_cast<std::size_t>(group.factor)]);
      CHECK(g < 2 || plan.groups[g - 1].levels * plan.groups[g - 1].effects >= group.levels * group.effects);
      Index next = 0;
      for (std::size_t k = 0; k < group.terms.size(); ++k) {
        const auto term = static_cast<std::size_t>(group.terms[k]);
        ++seen[term];
        CHECK(design.factor[term] == static_cast<std::size_t>(group.factor));
        CHECK(group.first[k] == next);
        next += static_cast<Index>(design.z[term].size());
      }
      CHECK(group.effects == next);
    }
    CHECK(std::all_of(seen.begin(), seen.end(), [](int count) { return count == 1; }));
    CHECK(plan.considered.empty() != plan.has_trailing());
    for (const LeadChoice& choice : plan.considered) CHECK(plan.considered.front().cost() <= choice.cost());
    if (plan.has_trailing()) CHECK(plan.considered.front().factor == plan.groups[0].factor);
  });
}

TEST(plan_lets_a_smaller_factor_lead_where_that_is_less_work) {
  Design design = draw({.name = "hubs", .n = 1200, .levels = {400, 300}, .terms = {{0, 1}, {1, 1}}, .p = 1});
  for (std::size_t row = 0; row < 1200; ++row) {  // level 0 of the large factor meets all of the small one
    design.codes[1][row] = static_cast<Code>(row / 4);
    design.codes[0][row] = static_cast<Code>(row % 4 == 0 ? 0 : row % 400);
  }
  const EliminationPlan plan = plan_elimination(design.data());
  CHECK(plan.groups[0].factor == 1);
  CHECK(plan.considered.size() == 2);
}

TEST(plan_patterns_are_the_leading_levels_that_meet_the_same_trailing_levels) {
  for_each_plan(all_recipes(), [](const Design& design, const EliminationPlan& plan) {
    if (!plan.has_trailing()) return;
    std::vector<Code> position = plan.position;
    std::sort(position.begin(), position.end());
    for (std::size_t k = 0; k < position.size(); ++k) CHECK(position[k] == static_cast<Code>(k));
    const auto met = meetings(design, plan);
    std::set<std::set<Code>> distinct;
    Index next = 0, values = 0;
    for (const Pattern& pattern : plan.patterns) {
      CHECK(pattern.first == next && pattern.values_begin == values);
      next += pattern.count;
      values += pattern.count * pattern.rows_count * plan.groups[0].effects;
      const auto begin = plan.pattern_rows.begin() + pattern.rows_begin;
      CHECK(std::is_sorted(begin, begin + pattern.rows_count));
      const std::set<Code> rows(begin, begin + pattern.rows_count);
      CHECK(distinct.insert(rows).second);
      for (Index member = pattern.first; member < next; ++member) CHECK(met[static_cast<std::size_t>(member)] == rows);
    }
    CHECK(next == plan.groups[0].levels && values == plan.coupling_values);
  });
}

TEST(plan_ranks_name_their_groups) {
  for_each_plan(all_recipes(), [](const Design&, const EliminationPlan& plan) {
    for (std::size_t g = 1; g < plan.groups.size(); ++g)
      for (Code level = 0; level < static_cast<Code>(plan.groups[g].levels); ++level) {
        if (is_leaf(plan.rank_of(g, level))) continue;
        const auto rank = static_cast<std::size_t>(plan.rank_of(g, level));
        CHECK(plan.group_of_rank[rank] == static_cast<Code>(g));
        CHECK(plan.trailing.node_offset[rank + 1] - plan.trailing.node_offset[rank] == plan.groups[g].effects);
      }
  });
}

TEST(plan_chooses_the_layout_by_fill) {
  for_each_plan(usual_recipes(), [](const Design&, const EliminationPlan& plan) {
    CHECK(!plan.has_trailing() || plan.trailing.is_dense());
  });
  for_each_plan(sparse_recipes(), [](const Design&, const EliminationPlan& plan) {
    CHECK(!plan.trailing.is_dense());
    CHECK(plan.trailing.values < plan.trailing.size * plan.trailing.size / 4);
  });
}

TEST(plan_storage_holds_every_pair_that_a_row_of_the_data_joins) {
  for_each_plan(sparse_recipes(), [](const Design& design, const EliminationPlan& plan) {
    for (const auto& met : meetings(design, plan))
      for (const Code row : met)
        for (const Code col : met) {
          if (row < col) continue;
          const auto& node =
              plan.trailing
                  .supernodes[static_cast<std::size_t>(plan.trailing.supernode_of[static_cast<std::size_t>(col)])];
          const auto begin = plan.trailing.rows.begin() + node.rows_begin;
          CHECK(row < node.first + node.cols || std::binary_search(begin, begin + node.rows_count, row));
        }
  });
}

}  // namespace henderson::testing
