// Who is eliminated when: indices only, decided once per design.
//
//   M = [ M_11          ]   M_11: the levels of one grouping factor, the leading one. No row of the data has two of
//   them,
//       [ M_21   M_22   ]   so M_11 is block diagonal with s x s blocks, whatever the design.
//                           M_22: all other factors, the trailing block, whose Schur complement is dense or sparse.
//
// Leaves of M_22, its levels with one leading neighbour, are stripped where that pays (leaf_levels.hpp): they are
// eliminated before all others, and are not among the trailing nodes.
// Leading levels that meet the same trailing levels form a pattern: one dense panel of M_21, one rank update.
// All terms on one factor are stacked: s counts their effects together.
#pragma once

#include <vector>

#include "core/leaf_levels.hpp"
#include "core/random_term.hpp"
#include "core/supernodal.hpp"

namespace henderson {

struct Group {
  Index factor = 0;
  Index levels = 0;
  Index effects = 0;         // s: the stacked effects of its terms
  std::vector<Index> terms;  // which terms
  std::vector<Index> first;  // first stacked effect of each
};

struct Pattern {
  Index first = 0;       // first leading position
  Index count = 0;       // leading levels
  Index rows_begin = 0;  // trailing scalar indices, ascending, in EliminationPlan::pattern_rows
  Index rows_count = 0;
  Index values_begin = 0;  // panel (rows_count x count * s) in coupling storage
};

// Rows of the data sorted by the level of one factor.
struct LevelRows {
  std::vector<Index> start;  // (levels + 1)
  std::vector<Code> row;     // (n)
};

// For each level of a trailing factor, the later nodes it meets (by rank).
struct Neighbours {
  std::vector<Index> start;
  std::vector<Code> node;
};

// What one factor in the lead would cost; predicted, in floating-point operations of one factorisation.
struct LeadChoice {
  Index factor = 0;
  Index trailing_size = 0;
  double update_flops = 0;   // to form the Schur complement
  double dense_flops = 0;    // to factor it as a dense matrix
  double sparse_flops = -1;  // to factor it by supernodes; negative: not worked out, because
  bool is_small = false;     //   it is too small to matter, or
  bool is_filled = false;    //   the cliques of the leading levels fill most of it
  bool is_dense = true;      // the storage chosen for this lead
  bool strips = false;       // leaves are eliminated before,
  double leaf_flops = 0;     //   at this cost; of the trailing block with the leaves in it:
  double unstripped_flops = 0;
  bool is_unstripped_dense = false;
  [[nodiscard]] double flops() const;
  [[nodiscard]] double cost() const;  // flops weighted by how fast their kind runs
};

// The rank of a stripped level names its leaf.
[[nodiscard]] constexpr Code leaf_rank(Index leaf) { return static_cast<Code>(-1 - leaf); }
[[nodiscard]] constexpr bool is_leaf(Code rank) { return rank < 0; }
[[nodiscard]] constexpr Index leaf_of(Code rank) { return -1 - static_cast<Index>(rank); }

struct EliminationPlan {
  std::vector<Group> groups;           // groups[0] leads; the others make up the trailing block
  std::vector<LeadChoice> considered;  // the leads compared, the chosen one first
  std::vector<Code> position;          // leading level -> position; empty: the identity
  std::vector<Pattern> patterns;       // by position
  std::vector<Code> pattern_rows;
  Index coupling_values = 0;  // doubles in the panels of M_21
  SupernodalLayout trailing;
  std::vector<Index> node_base;       // per group: number of its level 0 among all trailing levels
  std::vector<Code> group_of_rank;    // per trailing node in elimination order
  std::vector<LevelRows> level_rows;  // per group but the last, of all with leaves; needed only while A is built
  std::vector<Neighbours> later;      // per trailing group but the last (index 0 unused)
  double update_flops = 0;            // of the Schur complement
  std::vector<LeafGroup> leaves;      // per group (index 0 unused); empty where nothing is stripped
  std::vector<Host> hosts;            // leading levels with leaves, by position

  [[nodiscard]] bool has_trailing() const { return groups.size() > 1; }
  [[nodiscard]] bool has_leaves() const { return !leaves.empty(); }
  [[nodiscard]] Index trailing_size() const { return has_trailing() ? trailing.size : 0; }
  // Rows that the nodes of the trailing block consist of, where kernels for so many exist; 1 is right for any.
  [[nodiscard]] Index node_size() const;
  [[nodiscard]] Index place(Code level) const {
    return position.empty() ? level : position[static_cast<std::size_t>(level)];
  }
  [[nodiscard]] const Pattern& pattern_at(Index at) const;  // of a leading position
  [[nodiscard]] const Host& host_of(const Leaf& leaf) const { return hosts[static_cast<std::size_t>(leaf.host)]; }
  [[nodiscard]] const Pattern& pattern_of(const Host& host) const {
    return patterns[static_cast<std::size_t>(host.pattern)];
  }
  // Where the panel of one host, (rows_count, s_1), begins in the coupling.
  [[nodiscard]] Index panel_of(const Host& host) const {
    const Pattern& pattern = pattern_of(host);
    return pattern.values_begin + (host.position - pattern.first) * groups.front().effects * pattern.rows_count;
  }
  // Place of a level among the trailing nodes; negative for a leaf.
  [[nodiscard]] Code rank_of(std::size_t group, Code level) const {
    return trailing.rank[static_cast<std::size_t>(node_base[group] + level)];
  }
};

[[nodiscard]] EliminationPlan plan_elimination(const ModelData& data);

}  // namespace henderson
