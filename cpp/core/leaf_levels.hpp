// Leaves: levels of trailing factors all of whose rows lie at one leading level, their host.
//
//            m    u    R               m   a leaf: an item seen by one user only, often in a single row
//   leaf  [  D    .    .  ]            u   its host
//   host  [  B_u  A    .  ]            R   the other trailing levels that its rows meet (a year, a department), if any
//   rows  [  B_R  a_R  A_RR ]
//
// Whatever meets m meets u in the same rows, so {u, R} are neighbours of each other already: m can be eliminated before
// the leading factor without fill, and the trailing block shrinks by it. Two leaves never meet each other: of two that
// would, the one of the larger factor is stripped.
#pragma once

#include <vector>

#include "core/types.hpp"

namespace henderson {

struct EliminationPlan;
struct ModelData;

struct Leaf {
  Code level = 0;          // of its factor
  Index host = 0;          // in EliminationPlan::hosts
  Index rows_begin = 0;    // R: trailing scalars, ascending, in LeafGroup::rows
  Index rows_count = 0;    //
  Index values_begin = 0;  // B' in the coupling of the group, (s_1 + rows_count) x s
};

// The leaves among the levels of one trailing factor.
struct LeafGroup {
  std::vector<Leaf> leaves;   // by host
  std::vector<Code> rows;     // R of each leaf
  std::vector<Code> places;   // of its scalars in the pattern of the host
  std::vector<Index> bounds;  // of the tasks that share the leaves; those of one host stay together
  Index values = 0;           // doubles of coupling
};

struct Host {
  Index position = 0;  // of the leading level
  Index pattern = 0;
};

// What could be stripped.
struct LeafChoice {
  std::vector<Code> host;  // per trailing node: the leading level of its host, negative where it is not a leaf
  Index effects = 0;       // scalars in all
  double flops = 0;        // to eliminate them
};

[[nodiscard]] LeafChoice find_leaves(const ModelData& data, const EliminationPlan& plan);
// Fills plan.leaves and plan.hosts, once patterns and ranks are known.
void place_leaves(const ModelData& data, const LeafChoice& choice, EliminationPlan& plan);

}  // namespace henderson
