#include "core/leverages.hpp"

#include <numeric>

#include "core/pattern_pieces.hpp"

namespace henderson {

namespace {

constexpr Index chunk_rows = 512;
constexpr Index slab_chunks = 16;     // chunks of one task
constexpr Index task_positions = 64;  // leading levels of one task

// h_i = w_i |H_j z_i|^2, H_j = l^-1 lam'
class SingleFactor {
 public:
  SingleFactor(const CrossProducts& a, const LeadingFactor& factor, const ModelData& data)
      : a_(a),
        h_(factor.h.data()),
        data_(data),
        codes_(data.factors[static_cast<std::size_t>(a.leading().factor)].codes) {}

  void run(Vector& out, ThreadPool& pool) const {
    constexpr Index slab = chunk_rows * slab_chunks;
    pool.run((a_.n + slab - 1) / slab, [&](Index task) {
      const Index end = std::min(a_.n, (task + 1) * slab);
      Matrix z(std::min(chunk_rows, a_.n), a_.leading().effects);
      for (Index first = task * slab; first < end; first += chunk_rows)
        fill(first, z.topRows(std::min(chunk_rows, end - first)), out);
    });
  }

 private:
  void fill(Index first, Eigen::Ref<Matrix> z, Vector& out) const {
    const Group& group = a_.leading();
    for (std::size_t k = 0; k < group.terms.size(); ++k) {
      const AffineMap& map = a_.random[static_cast<std::size_t>(group.terms[k])];
      map.apply(first, z.middleCols(group.first[k], map.size()));
    }
    const Index s = group.effects;
    for (Index i = 0; i < z.rows(); ++i) {
      const double* h = h_ + lane_place(a_.plan.place(codes_[first + i]), 0, s * s);
      double total = 0;
      for (Index e = 0; e < s; ++e) {
        double sum = 0;
        for (Index f = 0; f < s; ++f) sum += h[(f * s + e) * lane_width] * z(i, f);
        total += sum * sum;
      }
      out[first + i] = data_.weights == nullptr ? total : data_.weights[first + i] * total;
    }
  }

  const CrossProducts& a_;
  const double* h_;
  const ModelData& data_;
  const Code* codes_;
};

// Rows of the data by leading position.
struct SortedRows {
  std::vector<Index> start;
  std::vector<Code> row;
};

SortedRows rows_by_position(const CrossProducts& a, const Code* codes) {
  SortedRows out;
  out.start.assign(static_cast<std::size_t>(a.leading().levels) + 1, 0);
  out.row.resize(static_cast<std::size_t>(a.n));
  for (Index i = 0; i < a.n; ++i) ++out.start[static_cast<std::size_t>(a.plan.place(codes[i])) + 1];
  std::partial_sum(out.start.begin(), out.start.end(), out.start.begin());
  std::vector<Index> next(out.start.begin(), out.start.end() - 1);
  for (Index i = 0; i < a.n; ++i)
    out.row[static_cast<std::size_t>(next[static_cast<std::size_t>(a.plan.place(codes[i]))]++)] = static_cast<Code>(i);
  return out;
}

// Scratch of one task: the inverse seen from one pattern, then from one leading level.
struct NearInverse {
  Matrix far;                          // T on the pattern's rows
  Matrix across;                       // T a_j of all levels of a piece
  Matrix weight, coupled, mixed, own;  // W_j, a_j W_j, T a_j W_j, H_jj
  Vector h;
  std::vector<Index> places;
  Vector z;                  // of one row, all groups one after the other
  std::vector<Index> local;  // per trailing group: its level's first row in the pattern
};

class SeveralFactors {
 public:
  SeveralFactors(const CrossProducts& a, BlockedCholesky& cholesky, const ModelData& data)
      : a_(a), plan_(a.plan), h_(cholesky.leading().h.data()), data_(data) {
    std::vector<Matrix> unused;
    cholesky.trailing_inverse(inverse_, unused);
    for (const Group& group : plan_.groups) {
      offset_.push_back(effects_);
      effects_ += group.effects;
      codes_.push_back(data.factors[static_cast<std::size_t>(group.factor)].codes);
    }
    rows_ = rows_by_position(a, codes_[0]);
  }

  void run(Vector& out, ThreadPool& pool) const {
    const Index levels = a_.leading().levels;
    pool.run((levels + task_positions - 1) / task_positions, [&](Index task) {
      NearInverse near;
      near.z.resize(effects_);
      near.local.resize(plan_.groups.size());
      const Index begin = task * task_positions;
      for_each_piece(plan_, begin, std::min(levels, begin + task_positions),
                     [&](const Piece& piece) { fill(piece, near, out); });
    });
  }

 private:
  void fill(const Piece& piece, NearInverse& near, Vector& out) const {
    const Index s = a_.leading().effects;
    const Index count = piece.pattern->rows_count;
    const auto panel = panel_of(a_, piece);
    near.far.resize(count, count);
    near.places.resize(static_cast<std::size_t>(count));
    gather_at(plan_.trailing, rows_of(plan_, *piece.pattern), inverse_.data(), near.far, near.places);
    near.across.noalias() = near.far * panel;
    for (Index member = 0; member < piece.count; ++member) {
      const Index position = piece.first + member;
      invert_level(position, panel.middleCols(member * s, s), near.across.middleCols(member * s, s), near);
      for (Index k = rows_.start[static_cast<std::size_t>(position)];
           k < rows_.start[static_cast<std::size_t>(position) + 1]; ++k) {
        const Index row = rows_.row[static_cast<std::size_t>(k)];
        find(row, *piece.pattern, near);
        out[row] = form(near) * (data_.weights == nullptr ? 1.0 : data_.weights[row]);
      }
    }
  }

  // What H holds for one leading level, whose columns of a and T a these are.
  void invert_level(Index position, const Eigen::Ref<const Matrix>& panel, const Eigen::Ref<const Matrix>& across,
                    NearInverse& near) const {
    const Index s = a_.leading().effects;
    near.h.resize(s * s);
    load_level(h_, position, near.h);
    const Eigen::Map<const Matrix> h(near.h.data(), s, s);
    near.weight.noalias() = h.transpose().lazyProduct(h);
    near.coupled.noalias() = panel.lazyProduct(near.weight);
    near.mixed.noalias() = across.lazyProduct(near.weight);
    near.own = near.weight;
    near.own.noalias() += near.coupled.transpose().lazyProduct(near.mixed);
  }

  // z of one row, and where its levels are in the pattern
  void find(Index row, const Pattern& pattern, NearInverse& near) const {
    const auto rows = rows_of(plan_, pattern);
    for (std::size_t g = 0; g < plan_.groups.size(); ++g) {
      const Group& group = plan_.groups[g];
      for (std::size_t k = 0; k < group.terms.size(); ++k)
        a_.random[static_cast<std::size_t>(group.terms[k])].apply_row(row, near.z.data() + offset_[g] + group.first[k]);
      if (g == 0) continue;
      const Index node = plan_.trailing.node_offset[static_cast<std::size_t>(plan_.rank_of(g, codes_[g][row]))];
      near.local[g] = std::lower_bound(rows.begin(), rows.end(), static_cast<Code>(node)) - rows.begin();
    }
  }

  // z'H z of the row that was found
  [[nodiscard]] double form(const NearInverse& near) const {
    const Index s = a_.leading().effects;
    const auto lead = near.z.head(s);
    double sum = lead.dot(near.own.lazyProduct(lead));
    for (std::size_t g = 1; g < plan_.groups.size(); ++g)
      for (Index e = 0; e < plan_.groups[g].effects; ++e) {
        const double z = near.z[offset_[g] + e];
        double weight = -2 * near.mixed.row(near.local[g] + e).dot(lead);
        for (std::size_t u = 1; u < plan_.groups.size(); ++u)
          for (Index f = 0; f < plan_.groups[u].effects; ++f)
            weight += near.far(near.local[g] + e, near.local[u] + f) * near.z[offset_[u] + f];
        sum += z * weight;
      }
    return sum;
  }

  const CrossProducts& a_;
  const EliminationPlan& plan_;
  const double* h_;
  const ModelData& data_;
  Vector inverse_;
  SortedRows rows_;
  std::vector<const Code*> codes_;  // per group
  std::vector<Index> offset_;       // per group: its first effect in z
  Index effects_ = 0;
};

}  // namespace

Vector random_leverages(const CrossProducts& a, BlockedCholesky& cholesky, const ModelData& data, ThreadPool& pool) {
  Vector out(a.n);
  if (a.plan.has_trailing())
    SeveralFactors(a, cholesky, data).run(out, pool);
  else
    SingleFactor(a, cholesky.leading(), data).run(out, pool);
  return out;
}

}  // namespace henderson
