#include "core/random_solve.hpp"

#include "core/pattern_pieces.hpp"
#include "core/supernodal_rows.hpp"

namespace henderson {

namespace {

constexpr Index widest_block = 48;     // right-hand sides of a block: a whole number of register tiles
constexpr Index narrowest_block = 8;   // of few right-hand sides, so that threads can share them
constexpr Index batch_columns = 128;   // scalars that travel together
constexpr Index task_batches = 16;     // batches of one task
constexpr Index small_product = 4096;  // multiplications below which packing costs more than it saves

Index block_width(Index m) {
  const Index share = (m + 7) / 8;
  return std::min(m, std::clamp((share + 7) / 8 * 8, narrowest_block, widest_block));
}

// Levels of one group that follow each other: in the order of positions for the leading group.
struct Batch {
  std::size_t group = 0;
  Index first = 0;
  Index count = 0;
};

// Scratch of one task: (width, scalars) each.
struct Tile {
  explicit Tile(Index columns) : width(columns) {}
  Index width;
  std::vector<Index> rows;  // of the caller's matrix
  Matrix raw, moved, near;
  Vector h;
  Matrix weight, factor;  // (s, s) of one level
};

// out (m, k) = x (m, j) y (j, k) or minus that, whatever the sizes
template <class X, class Y>
void product(const X& x, const Y& y, Matrix& out) {
  if (out.rows() != x.rows() || out.cols() < y.cols()) out.resize(x.rows(), std::max(out.cols(), y.cols()));
  auto to = out.leftCols(y.cols());
  if (x.size() * y.cols() < small_product)
    to = x.lazyProduct(y);
  else
    to.noalias() = x * y;
}

class RandomSolve {
 public:
  RandomSolve(const CrossProducts& a, const BlockedCholesky& cholesky, const Eigen::Ref<const Matrix>& rhs,
              Eigen::Ref<Matrix> out)
      : a_(a), plan_(a.plan), cholesky_(cholesky), rhs_(rhs), out_(out), width_(block_width(rhs.cols())) {
    base_.push_back(0);
    for (std::size_t t = 0; t < a.random.size(); ++t) base_.push_back(base_.back() + levels_of(t) * a.random[t].size());
    for (const Group& group : plan_.groups) {
      roots_.push_back(Matrix::Zero(group.effects, group.effects));
      for (std::size_t k = 0; k < group.terms.size(); ++k) {
        const Matrix& root = a.random[static_cast<std::size_t>(group.terms[k])].r;
        auto own = roots_.back().block(group.first[k], group.first[k], root.rows(), root.rows());
        own.setIdentity();
        root.triangularView<Eigen::Upper>().solveInPlace(own);
      }
    }
    level_at_.resize(plan_.position.size());
    for (std::size_t level = 0; level < level_at_.size(); ++level)
      level_at_[static_cast<std::size_t>(plan_.position[level])] = static_cast<Code>(level);
  }

  void run(ThreadPool& pool) {
    const Index blocks = (rhs_.cols() + width_ - 1) / width_;
    if (plan_.has_trailing()) {
      trailing_.resize(static_cast<std::size_t>(blocks));
      pool.run(blocks, [&](Index block) { solve_trailing(block); });
    }
    const Index levels = task_batches * batch_levels(0);
    const Index tasks = (a_.leading().levels + levels - 1) / levels;
    pool.run(blocks * tasks, [&](Index task) {
      Tile tile(width_of(task / tasks));
      const Index begin = task % tasks * levels;
      for_each_batch(0, begin, std::min(a_.leading().levels, begin + levels),
                     [&](const Batch& batch) { solve_leading(task / tasks, batch, tile); });
    });
  }

 private:
  [[nodiscard]] Index levels_of(std::size_t term) const {
    for (const Group& group : plan_.groups)
      if (std::find(group.terms.begin(), group.terms.end(), static_cast<Index>(term)) != group.terms.end())
        return group.levels;
    return 0;
  }
  [[nodiscard]] Index batch_levels(std::size_t group) const {
    return std::max<Index>(1, batch_columns / plan_.groups[group].effects);
  }
  [[nodiscard]] Index width_of(Index block) const { return std::min(width_, rhs_.cols() - block * width_); }

  template <class Visit>
  void for_each_batch(std::size_t group, Index begin, Index end, Visit&& visit) const {
    const Index step = batch_levels(group);
    for (Index first = begin; first < end; first += step) visit(Batch{group, first, std::min(step, end - first)});
  }

  void find_rows(const Batch& batch, Tile& tile) const {
    const Group& group = plan_.groups[batch.group];
    tile.rows.resize(static_cast<std::size_t>(batch.count * group.effects));
    auto row = tile.rows.begin();
    for (Index place = batch.first; place < batch.first + batch.count; ++place) {
      const bool is_moved = batch.group == 0 && !level_at_.empty();
      const Index level = is_moved ? level_at_[static_cast<std::size_t>(place)] : place;
      for (const Index term : group.terms) {
        const Index s = a_.random[static_cast<std::size_t>(term)].size();
        for (Index e = 0; e < s; ++e) *row++ = base_[static_cast<std::size_t>(term)] + level * s + e;
      }
    }
  }

  // tile.raw := the right-hand sides of a batch
  void load(Index block, const Batch& batch, Tile& tile) const {
    find_rows(batch, tile);
    const auto size = static_cast<Index>(tile.rows.size());
    if (tile.raw.cols() < size) tile.raw.resize(tile.width, size);
    for (Index c = 0; c < tile.width; ++c) {
      const double* from = rhs_.data() + (block * width_ + c) * rhs_.outerStride();
      for (Index k = 0; k < size; ++k) tile.raw(c, k) = from[tile.rows[static_cast<std::size_t>(k)]];
    }
  }

  void store(Index block, const Tile& tile) {
    const auto size = static_cast<Index>(tile.rows.size());
    for (Index c = 0; c < tile.width; ++c) {
      double* to = out_.data() + (block * width_ + c) * out_.outerStride();
      for (Index k = 0; k < size; ++k) to[tile.rows[static_cast<std::size_t>(k)]] = tile.raw(c, k);
    }
  }

  // tile.moved := tile.raw m, level by level, m = matrix(position)
  template <class Of>
  void multiply_levels(const Batch& batch, Tile& tile, Of&& matrix) const {
    const Index s = plan_.groups[batch.group].effects;
    if (tile.moved.cols() < batch.count * s) tile.moved.resize(tile.width, batch.count * s);
    for (Index i = 0; i < batch.count; ++i) {
      const Matrix& m = matrix(batch.first + i);
      tile.moved.middleCols(i * s, s) = tile.raw.middleCols(i * s, s).lazyProduct(m);
    }
  }

  // W_j of a leading position
  [[nodiscard]] const Matrix& shrinkage(Index position, Tile& tile) const {
    const Index s = a_.leading().effects;
    tile.h.resize(s * s);
    load_level(cholesky_.leading().h.data(), position, tile.h);
    const Eigen::Map<const Matrix> h(tile.h.data(), s, s);
    tile.weight.noalias() = h.transpose().lazyProduct(h);
    return tile.weight;
  }

  // x -= sum a_j W_j r_j
  void explain(Index block, const Batch& batch, Tile& tile, Matrix& x) const {
    const Index s = a_.leading().effects;
    load(block, batch, tile);
    multiply_levels(batch, tile, [&](Index position) -> const Matrix& {
      tile.factor.noalias() = roots_[0].lazyProduct(shrinkage(position, tile));
      return tile.factor;
    });
    for_each_piece(plan_, batch.first, batch.first + batch.count, [&](const Piece& piece) {
      const auto rows = rows_of(plan_, *piece.pattern);
      const auto own = tile.moved.middleCols((piece.first - batch.first) * s, piece.count * s);
      const auto panel = panel_of(a_, piece);
      if (own.cols() == 1) {
        for (std::size_t i = 0; i < rows.size(); ++i) x.col(rows[i]) -= panel(static_cast<Index>(i), 0) * own;
        return;
      }
      product(own, panel.transpose(), tile.near);
      for (std::size_t i = 0; i < rows.size(); ++i) x.col(rows[i]) -= tile.near.col(static_cast<Index>(i));
    });
  }

  // x_i := x_i lam or x_i lam' for every trailing node
  void multiply_lambda(bool transposed, Matrix& x) const {
    Matrix own;
    Index col = 0;
    for (const Code group : plan_.group_of_rank) {
      const Matrix& lambda = cholesky_.lambda(static_cast<std::size_t>(group));
      const Index s = lambda.rows();
      own = x.middleCols(col, s);
      if (transposed)
        x.middleCols(col, s) = own.lazyProduct(lambda.transpose());
      else
        x.middleCols(col, s) = own.lazyProduct(lambda);
      col += s;
    }
  }

  [[nodiscard]] Index node_place(std::size_t group, Index level) const {
    return plan_.trailing.node_offset[static_cast<std::size_t>(plan_.rank_of(group, static_cast<Code>(level)))];
  }

  // trailing_[block] := y_2, and its rows of the output
  void solve_trailing(Index block) {
    Tile tile(width_of(block));
    Matrix& x = trailing_[static_cast<std::size_t>(block)];
    x.resize(tile.width, plan_.trailing.size);
    for_each_trailing_batch([&](const Batch& batch, Index s) {
      load(block, batch, tile);
      multiply_levels(batch, tile, [&](Index) -> const Matrix& { return roots_[batch.group]; });
      for (Index i = 0; i < batch.count; ++i)
        x.middleCols(node_place(batch.group, batch.first + i), s) = tile.moved.middleCols(i * s, s);
    });
    for_each_batch(0, 0, a_.leading().levels, [&](const Batch& batch) { explain(block, batch, tile, x); });
    multiply_lambda(false, x);
    solve_lower_rows(plan_.trailing, cholesky_.trailing_factor().data(), x, tile.near);
    solve_upper_rows(plan_.trailing, cholesky_.trailing_factor().data(), x, tile.near);
    multiply_lambda(true, x);
    for_each_trailing_batch([&](const Batch& batch, Index s) {
      find_rows(batch, tile);
      for (Index i = 0; i < batch.count; ++i)
        tile.raw.middleCols(i * s, s) =
            x.middleCols(node_place(batch.group, batch.first + i), s).lazyProduct(roots_[batch.group].transpose());
      store(block, tile);
    });
  }

  template <class Visit>
  void for_each_trailing_batch(Visit&& visit) const {
    for (std::size_t g = 1; g < plan_.groups.size(); ++g)
      for_each_batch(g, 0, plan_.groups[g].levels, [&](const Batch& batch) { visit(batch, plan_.groups[g].effects); });
  }

  // y_j of the leading levels of a batch
  void solve_leading(Index block, const Batch& batch, Tile& tile) {
    const Index s = a_.leading().effects;
    load(block, batch, tile);
    multiply_levels(batch, tile, [&](Index) -> const Matrix& { return roots_[0]; });
    for_each_piece(plan_, batch.first, batch.first + batch.count, [&](const Piece& piece) {
      const Matrix& x = trailing_[static_cast<std::size_t>(block)];
      const auto rows = rows_of(plan_, *piece.pattern);
      auto own = tile.moved.middleCols((piece.first - batch.first) * s, piece.count * s);
      const auto panel = panel_of(a_, piece);
      if (own.cols() == 1) {
        for (std::size_t i = 0; i < rows.size(); ++i) own -= panel(static_cast<Index>(i), 0) * x.col(rows[i]);
        return;
      }
      if (tile.near.rows() != tile.width || tile.near.cols() < panel.rows()) tile.near.resize(tile.width, panel.rows());
      for (std::size_t i = 0; i < rows.size(); ++i) tile.near.col(static_cast<Index>(i)) = x.col(rows[i]);
      const auto near = tile.near.leftCols(panel.rows());
      if (near.size() * panel.cols() < small_product)
        own -= near.lazyProduct(panel);
      else
        own.noalias() -= near * panel;
    });
    tile.raw.swap(tile.moved);
    multiply_levels(batch, tile, [&](Index position) -> const Matrix& {
      tile.factor.noalias() = shrinkage(position, tile).lazyProduct(roots_[0].transpose());
      return tile.factor;
    });
    tile.raw.swap(tile.moved);
    store(block, tile);
  }

  const CrossProducts& a_;
  const EliminationPlan& plan_;
  const BlockedCholesky& cholesky_;
  const Eigen::Ref<const Matrix>& rhs_;
  Eigen::Ref<Matrix> out_;
  Index width_;
  std::vector<Index> base_;    // per term: its first row
  std::vector<Matrix> roots_;  // per group (s, s): T^-1, terms stacked
  std::vector<Code> level_at_;
  std::vector<Matrix> trailing_;  // per block (width, q_2)
};

}  // namespace

void solve_random(const CrossProducts& a, const BlockedCholesky& cholesky, const Eigen::Ref<const Matrix>& rhs,
                  Eigen::Ref<Matrix> out, ThreadPool& pool) {
  if (rhs.cols() > 0) RandomSolve(a, cholesky, rhs, out).run(pool);
}

}  // namespace henderson
