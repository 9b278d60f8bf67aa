// Which levels make up the trailing block, and how it is stored: with or without its leaves, dense or sparse, whatever
// is predicted to take least time.
#pragma once

#include "core/elimination_plan.hpp"

namespace henderson {

// The trailing nodes of an elimination, with or without the leaves.
struct TrailingNodes {
  std::vector<Code> number;  // of each trailing level; negative for a leaf
  std::vector<Index> base;   // per group: its first node
  std::vector<Index> sizes;  // scalars of each node
};

struct TrailingChoice {
  TrailingNodes nodes;
  Neighbours leading;                      // per leading level: the nodes it meets
  std::vector<std::vector<Code>> classes;  // leading levels that meet the same ones
  LeadChoice choice;
  SupernodalLayout trailing;
};

// plan: groups and node_base; met: for each leading level the trailing levels it meets. Of a rival for the lead no
// sparse layout is looked for where it would fill in: that takes longer than all evaluations of the fit.
[[nodiscard]] TrailingChoice choose_trailing(const ModelData& data, const EliminationPlan& plan,
                                             const LeafChoice& leaves, const Neighbours& met, bool is_rival);

}  // namespace henderson
