#include "core/row_places.hpp"

#include <algorithm>
#include <tuple>

namespace henderson {

namespace {

// A leading position and a trailing node, by its first scalar index, that it has not met.
struct Meeting {
  Index position = 0;
  Code first = 0, size = 0;
  [[nodiscard]] auto key() const { return std::tie(position, first); }
};

Index levels_of(const Group& group, const ModelData& rows) {
  return std::max(group.levels, rows.factors[static_cast<std::size_t>(group.factor)].levels);
}

void grow_leading(CrossProducts& a, Index levels) {
  EliminationPlan& plan = a.plan;
  Group& group = plan.groups.front();
  const Index batches = lane_batches(levels) * lane_width;
  a.gram.resize(static_cast<std::size_t>(batches * triangle_size(group.effects)), 0.0);
  a.xy.resize(static_cast<std::size_t>(batches * group.effects * a.columns()), 0.0);
  if (!plan.position.empty())
    for (Index level = group.levels; level < levels; ++level) plan.position.push_back(static_cast<Code>(level));
  if (plan.has_trailing() && levels > group.levels)
    plan.patterns.push_back(
        {group.levels, levels - group.levels, static_cast<Index>(plan.pattern_rows.size()), 0, plan.coupling_values});
  group.levels = levels;
}

// Old nodes keep their ranks, new ones come after them.
void grow_trailing(CrossProducts& a, const ModelData& rows) {
  EliminationPlan& plan = a.plan;
  std::vector<Index> node_sizes, node_base(plan.groups.size() + 1, 0);
  std::vector<Code> rank;
  for (std::size_t u = 1; u < plan.groups.size(); ++u) {
    Group& group = plan.groups[u];
    const Index levels = levels_of(group, rows);
    for (Index level = 0; level < group.levels; ++level) rank.push_back(plan.rank_of(u, static_cast<Code>(level)));
    for (Index level = group.levels; level < levels; ++level) {
      rank.push_back(static_cast<Code>(plan.group_of_rank.size()));
      plan.group_of_rank.push_back(static_cast<Code>(u));
    }
    node_sizes.insert(node_sizes.end(), static_cast<std::size_t>(levels), group.effects);
    node_base[u + 1] = node_base[u] + levels;
  }
  for (std::size_t u = 1; u < plan.groups.size(); ++u) plan.groups[u].levels = node_base[u + 1] - node_base[u];
  const Index old_size = plan.trailing.size;
  plan.node_base = std::move(node_base);
  plan.trailing = dense_layout(node_sizes, std::move(rank));
  a.trailing_xy.conservativeResize(plan.trailing.size, Eigen::NoChange);
  a.trailing_xy.bottomRows(plan.trailing.size - old_size).setZero();
  for (TrailingEntry& entry : a.entries) entry.place = entry_place(plan.trailing, entry.row, entry.col);
  plan.considered.front().trailing_size = plan.trailing.size;
  plan.considered.front().dense_flops = plan.trailing.flops;
}

// The meetings that A has no place for, by position, each once.
std::vector<Meeting> new_meetings(const EliminationPlan& plan, const ModelData& rows) {
  std::vector<Meeting> out;
  const auto codes = [&](std::size_t g) { return rows.factors[static_cast<std::size_t>(plan.groups[g].factor)].codes; };
  for (Index row = 0; row < rows.n; ++row) {
    const Index position = plan.place(codes(0)[row]);
    const Pattern& pattern = plan.pattern_at(position);
    const auto begin = plan.pattern_rows.begin() + pattern.rows_begin;
    for (std::size_t u = 1; u < plan.groups.size(); ++u) {
      const auto node = static_cast<std::size_t>(plan.rank_of(u, codes(u)[row]));
      const auto first = static_cast<Code>(plan.trailing.node_offset[node]);
      if (!std::binary_search(begin, begin + pattern.rows_count, first))
        out.push_back({position, first, static_cast<Code>(plan.groups[u].effects)});
    }
  }
  std::sort(out.begin(), out.end(), [](const Meeting& one, const Meeting& other) { return one.key() < other.key(); });
  const auto last = std::unique(out.begin(), out.end(),
                                [](const Meeting& one, const Meeting& other) { return one.key() == other.key(); });
  out.erase(last, out.end());
  return out;
}

// The patterns and panels written anew, level by level where something is added.
class PatternWriter {
 public:
  explicit PatternWriter(const CrossProducts& a) : a_(a), effects_(a.leading().effects) {}

  // Positions first .. last of a pattern, as they are.
  void keep(const Pattern& pattern, Index first, Index last) {
    if (first == last) return;
    const auto rows = a_.plan.pattern_rows.begin() + pattern.rows_begin;
    begin_pattern(first, last - first);
    rows_.insert(rows_.end(), rows, rows + pattern.rows_count);
    const double* panel = panel_of(pattern, first);
    coupling_.insert(coupling_.end(), panel, panel + (last - first) * effects_ * pattern.rows_count);
    end_pattern();
  }

  // One position with the rows of `meetings` among its own.
  void widen(const Pattern& pattern, std::span<const Meeting> meetings) {
    const Index position = meetings.front().position;
    const auto old_rows = a_.plan.pattern_rows.begin() + pattern.rows_begin;
    begin_pattern(position, 1);
    const auto begin = static_cast<std::ptrdiff_t>(rows_.size());
    rows_.insert(rows_.end(), old_rows, old_rows + pattern.rows_count);
    for (const Meeting& meeting : meetings)
      for (Code row = 0; row < meeting.size; ++row) rows_.push_back(meeting.first + row);
    std::sort(rows_.begin() + begin, rows_.end());
    const double* panel = panel_of(pattern, position);
    for (Index e = 0; e < effects_; ++e, panel += pattern.rows_count) {
      Index old = 0;
      for (auto row = rows_.begin() + begin; row != rows_.end(); ++row)
        coupling_.push_back(old < pattern.rows_count && old_rows[old] == *row ? panel[old++] : 0.0);
    }
    end_pattern();
  }

  void finish(CrossProducts& a) {
    a.plan.patterns = std::move(patterns_);
    a.plan.pattern_rows = std::move(rows_);
    a.plan.coupling_values = static_cast<Index>(coupling_.size());
    a.plan.update_flops = a.plan.considered.front().update_flops = flops_;
    a.coupling = std::move(coupling_);
  }

 private:
  [[nodiscard]] const double* panel_of(const Pattern& pattern, Index position) const {
    return a_.coupling.data() + pattern.values_begin + (position - pattern.first) * effects_ * pattern.rows_count;
  }
  void begin_pattern(Index first, Index count) {
    patterns_.push_back({first, count, static_cast<Index>(rows_.size()), 0, static_cast<Index>(coupling_.size())});
  }
  void end_pattern() {
    Pattern& written = patterns_.back();
    written.rows_count = static_cast<Index>(rows_.size()) - written.rows_begin;
    flops_ += static_cast<double>(written.rows_count * written.rows_count * written.count * effects_);
  }

  const CrossProducts& a_;
  Index effects_;
  std::vector<Pattern> patterns_;
  std::vector<Code> rows_;
  std::vector<double> coupling_;
  double flops_ = 0;
};

void add_meetings(CrossProducts& a, const std::vector<Meeting>& meetings) {
  PatternWriter writer(a);
  auto next = meetings.begin();
  for (const Pattern& pattern : a.plan.patterns) {
    const Index end = pattern.first + pattern.count;
    Index at = pattern.first;
    while (next != meetings.end() && next->position < end) {
      const auto last = std::find_if(next, meetings.end(),
                                     [&](const Meeting& meeting) { return meeting.position != next->position; });
      writer.keep(pattern, at, next->position);
      writer.widen(pattern, {next, last});
      at = next->position + 1;
      next = last;
    }
    writer.keep(pattern, at, end);
  }
  writer.finish(a);
}

}  // namespace

bool make_room(CrossProducts& a, const ModelData& rows) {
  const EliminationPlan& plan = a.plan;
  const auto grows = [&](const Group& group) { return levels_of(group, rows) > group.levels; };
  const bool has_new_levels = std::any_of(plan.groups.begin(), plan.groups.end(), grows);
  if (plan.has_trailing() && (plan.has_leaves() || !plan.trailing.is_dense())) return !has_new_levels;
  if (grows(plan.groups.front())) grow_leading(a, levels_of(plan.groups.front(), rows));
  if (!plan.has_trailing()) return true;
  if (std::any_of(plan.groups.begin() + 1, plan.groups.end(), grows)) grow_trailing(a, rows);
  const std::vector<Meeting> meetings = new_meetings(plan, rows);
  if (!meetings.empty()) add_meetings(a, meetings);
  return true;
}

}  // namespace henderson
