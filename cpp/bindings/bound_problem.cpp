#include "bindings/bound_problem.hpp"

#include <pybind11/stl.h>

#include <cmath>
#include <thread>

#include "bindings/errors.hpp"
#include "core/row_updates.hpp"

namespace py = pybind11;

namespace henderson {

namespace {

constexpr double largest = 1e140;  // squares and their sums stay far inside the range of doubles
constexpr double smallest = 1e-140;

// One thread while there is little to share: waking the others costs more than a small evaluation.
int worthwhile_threads(int asked, const ModelData& data, Index n) {
  Index size = 0;
  for (const RandomTerm& term : data.terms)
    size += data.factors[static_cast<std::size_t>(term.factor)].levels * static_cast<Index>(term.z.size());
  return n + 20 * size < 100000 ? 1 : available_threads(asked);
}

}  // namespace

void require_usable(const double* values, Index n, const char* kind, Index index) {
  if (values == nullptr) return;
  double top = 0;
  Index place = 0;
  for (Index begin = 0; begin < n; begin += 4096) {
    const Eigen::Map<const Vector> chunk(values + begin, std::min<Index>(4096, n - begin));
    if (!std::isfinite((chunk * 0.0).sum()))
      for (Index i = 0; i < chunk.size(); ++i)
        if (!std::isfinite(chunk[i])) throw NonFinite(kind, index, begin + i);
    Index at = 0;
    const double own = chunk.cwiseAbs().maxCoeff(&at);
    if (own <= top) continue;
    top = own;
    place = begin + at;
  }
  if (top > largest || (top > 0 && top < smallest)) throw OutOfScale(kind, index, place);
}

int available_threads(int asked) {
  static const int processors = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));  // a system call
  return asked > 0 ? asked : processors;
}

BoundProblem::BoundProblem(const DoubleArray& y, const py::sequence& x, const py::sequence& codes,
                           const std::vector<Index>& levels, const py::sequence& terms,
                           const std::optional<DoubleArray>& weights, int threads,
                           const std::optional<std::pair<double, double>>& represented) {
  read(y, x, codes, levels, terms, weights);
  if (represented) data_.represented = Represented{represented->first, represented->second};
  asked_threads_ = threads;
  const py::gil_scoped_release release;
  check();
  problem_ = std::make_unique<Problem>(data_, worthwhile_threads(threads, data_, data_.n));
}

void BoundProblem::read(const DoubleArray& y, const py::sequence& x, const py::sequence& codes,
                        const std::vector<Index>& levels, const py::sequence& terms,
                        const std::optional<DoubleArray>& weights) {
  data_.n = y.size();
  if (data_.n == 0) throw std::invalid_argument("no rows");
  data_.y = hold(y);
  if (weights) data_.weights = hold(*weights);
  for (const auto& column : x) data_.x.push_back(hold_column(column));
  for (std::size_t f = 0; f < levels.size(); ++f) data_.factors.push_back(hold_factor(codes[f], levels[f]));
  for (const auto& item : terms) {
    const auto pair = py::cast<std::pair<Index, py::sequence>>(item);
    RandomTerm term{pair.first, {}};
    if (term.factor < 0 || term.factor >= static_cast<Index>(levels.size()))
      throw std::invalid_argument("a term names no factor");
    for (const auto& column : pair.second) term.z.push_back(hold_column(column));
    data_.terms.push_back(std::move(term));
  }
  if (data_.terms.empty()) throw std::invalid_argument("no random terms");
}

std::unique_ptr<BoundProblem> BoundProblem::with_rows(const DoubleArray& y, const py::sequence& x,
                                                      const py::sequence& codes, const std::vector<Index>& levels,
                                                      const py::sequence& terms,
                                                      const std::optional<DoubleArray>& weights, double sign,
                                                      double power) {
  if (x.size() != data_.x.size() || levels.size() != data_.factors.size() || terms.size() != data_.terms.size())
    throw std::invalid_argument("the rows belong to another design");
  std::unique_ptr<BoundProblem> out(new BoundProblem());
  out->read(y, x, codes, levels, terms, weights);
  for (std::size_t t = 0; t < data_.terms.size(); ++t)
    if (out->data_.terms[t].z.size() != data_.terms[t].z.size() || out->data_.terms[t].factor != data_.terms[t].factor)
      throw std::invalid_argument("the rows belong to another design");
  out->asked_threads_ = asked_threads_;
  out->has_rows_ = false;
  const py::gil_scoped_release release;
  out->check();
  CrossProducts a;
  {
    const std::lock_guard lock(mutex_);
    a = problem_->cross_products();
  }
  if (power != 1) temper(a, power);
  const RowUpdate found = update_rows(a, out->data_, sign);
  if (found == RowUpdate::not_there) throw std::invalid_argument("rows that are not there");
  if (found == RowUpdate::no_place) return nullptr;
  const int threads = worthwhile_threads(asked_threads_, out->data_, a.n);
  out->problem_ = std::make_unique<Problem>(std::move(a), threads);
  return out;
}

void BoundProblem::require_rows() const {
  if (!has_rows_) throw std::logic_error("this problem is without its rows");
}

void BoundProblem::set_response(const DoubleArray& y) {
  require_rows();
  if (y.size() != data_.n) throw std::invalid_argument("the response must have as many values as the design has rows");
  {
    const py::gil_scoped_release release;
    const std::lock_guard lock(mutex_);
    require_usable(y.data(), data_.n, "y", 0);
    ModelData with = data_;
    with.y = y.data();
    problem_->set_response(with);
  }
  response_ = y;
}

const double* BoundProblem::hold(const DoubleArray& values) {
  if (values.ndim() != 1 || values.size() != data_.n)
    throw std::invalid_argument("columns must be one-dimensional, of equal length");
  if (values.strides(0) != static_cast<py::ssize_t>(sizeof(double)) && values.size() > 1)
    throw std::invalid_argument("columns must be contiguous");
  held_.append(values);
  return values.data();
}

Column BoundProblem::hold_column(const py::handle& column) {
  return column.is_none() ? Column{} : Column{hold(py::cast<DoubleArray>(column))};
}

Factor BoundProblem::hold_factor(const py::handle& item, Index levels) {
  const auto codes = py::cast<py::array_t<Code>>(item);
  if (codes.size() != data_.n || levels < 1) throw std::invalid_argument("codes must have a value for each row");
  held_.append(codes);
  return {codes.data(), levels};
}

void BoundProblem::check() const {
  require_usable(data_.y, data_.n, "y", 0);
  require_usable(data_.weights, data_.n, "weights", 0);
  for (std::size_t j = 0; j < data_.x.size(); ++j) require_usable(data_.x[j].data, data_.n, "x", static_cast<Index>(j));
  for (std::size_t t = 0; t < data_.terms.size(); ++t)
    for (const Column& column : data_.terms[t].z) require_usable(column.data, data_.n, "z", static_cast<Index>(t));
  for (const Factor& factor : data_.factors) {
    const Eigen::Map<const Eigen::Matrix<Code, Eigen::Dynamic, 1>> codes(factor.codes, data_.n);
    if (codes.minCoeff() < 0 || codes.maxCoeff() >= factor.levels)
      throw std::invalid_argument("codes must be in 0 .. levels - 1");
  }
}

Vector checked_theta(const BoundProblem& problem, const DenseArray& theta) {
  const Index size = problem.core().theta_size();
  if (theta.size() != size) throw std::invalid_argument("theta must have " + std::to_string(size) + " elements");
  return to_vector(theta);
}

Problem& BoundProblem::unstripped() {
  if (!problem_->cross_products().plan.has_leaves()) return *problem_;
  require_rows();
  if (!unstripped_) {
    ModelData whole = data_;
    whole.stripping = Stripping::never;
    unstripped_ = std::make_unique<Problem>(whole, worthwhile_threads(asked_threads_, data_, data_.n));
  }
  return *unstripped_;
}

}  // namespace henderson
