#include "core/problem.hpp"

#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include <chrono>
#include <cmath>
#include <mutex>
#include <thread>

#include "bindings/arrays.hpp"
#include "bindings/errors.hpp"
#include "bindings/register.hpp"
#include "bindings/results.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace henderson {

namespace {

using CodeArray = py::array_t<Code>;

constexpr double largest = 1e140;  // squares and their sums stay far inside the range of doubles
constexpr double smallest = 1e-140;

// Throws where a column has a NaN or an infinity, or no square that double precision can hold.
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

// One thread while there is little to share: waking the others costs more than a small evaluation.
int worthwhile_threads(int asked, const ModelData& data) {
  Index size = 0;
  for (const RandomTerm& term : data.terms)
    size += data.factors[static_cast<std::size_t>(term.factor)].levels * static_cast<Index>(term.z.size());
  return data.n + 20 * size < 100000 ? 1 : available_threads(asked);
}

// The core works on the caller's columns while it builds A, and again when the response changes: they are kept alive
// here.
class BoundProblem {
 public:
  BoundProblem(const DoubleArray& y, const py::sequence& x, const py::sequence& codes, const std::vector<Index>& levels,
               const py::sequence& terms, const std::optional<DoubleArray>& weights, int threads) {
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
    asked_threads_ = threads;
    const py::gil_scoped_release release;
    check();
    problem_ = std::make_unique<Problem>(data_, worthwhile_threads(threads, data_));
  }

  [[nodiscard]] Problem& core() { return *problem_; }
  [[nodiscard]] const ModelData& data() const { return data_; }
  [[nodiscard]] int asked_threads() const { return asked_threads_; }
  [[nodiscard]] std::mutex& mutex() { return mutex_; }

  void set_response(const DoubleArray& y) {
    if (y.size() != data_.n)
      throw std::invalid_argument("the response must have as many values as the design has rows");
    const py::gil_scoped_release release;
    const std::lock_guard lock(mutex_);
    require_usable(y.data(), data_.n, "y", 0);
    ModelData with = data_;
    with.y = y.data();
    problem_->set_response(with);
  }

 private:
  const double* hold(const DoubleArray& values) {
    if (values.ndim() != 1 || values.size() != data_.n)
      throw std::invalid_argument("columns must be one-dimensional, of equal length");
    if (values.strides(0) != static_cast<py::ssize_t>(sizeof(double)) && values.size() > 1)
      throw std::invalid_argument("columns must be contiguous");
    held_.append(values);
    return values.data();
  }

  Column hold_column(const py::handle& column) {
    return column.is_none() ? Column{} : Column{hold(py::cast<DoubleArray>(column))};
  }

  Factor hold_factor(const py::handle& item, Index levels) {
    const auto codes = py::cast<CodeArray>(item);
    if (codes.size() != data_.n || levels < 1) throw std::invalid_argument("codes must have a value for each row");
    held_.append(codes);
    return {codes.data(), levels};
  }

  void check() const {
    require_usable(data_.y, data_.n, "y", 0);
    require_usable(data_.weights, data_.n, "weights", 0);
    for (std::size_t j = 0; j < data_.x.size(); ++j)
      require_usable(data_.x[j].data, data_.n, "x", static_cast<Index>(j));
    for (std::size_t t = 0; t < data_.terms.size(); ++t)
      for (const Column& column : data_.terms[t].z) require_usable(column.data, data_.n, "z", static_cast<Index>(t));
    for (const Factor& factor : data_.factors) {
      const Eigen::Map<const Eigen::Matrix<Code, Eigen::Dynamic, 1>> codes(factor.codes, data_.n);
      if (codes.minCoeff() < 0 || codes.maxCoeff() >= factor.levels)
        throw std::invalid_argument("codes must be in 0 .. levels - 1");
    }
  }

  py::list held_;
  ModelData data_;
  int asked_threads_ = 0;
  std::unique_ptr<Problem> problem_;
  std::mutex mutex_;
};

Vector checked_theta(const BoundProblem& problem, const DenseArray& theta, Index size) {
  static_cast<void>(problem);
  if (theta.size() != size) throw std::invalid_argument("theta must have " + std::to_string(size) + " elements");
  return to_vector(theta);
}

// Ctrl-C, looked for at most every 20 ms, by the thread that called.
class Interrupts {
 public:
  void check() {
    const auto now = std::chrono::steady_clock::now();
    if (std::this_thread::get_id() != caller_ || now - looked_ < std::chrono::milliseconds(20)) return;
    looked_ = now;
    const py::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  }

 private:
  std::thread::id caller_ = std::this_thread::get_id();
  std::chrono::steady_clock::time_point looked_ = std::chrono::steady_clock::now();
};

// Runs between iterations: the user's callback, and Ctrl-C.
bool watch(const Iteration& at, int evaluation, const TermRoots& roots, const py::object& callback,
           Interrupts& interrupts) {
  interrupts.check();
  if (callback.is_none()) return false;
  const py::gil_scoped_acquire acquire;
  const py::object answer = callback(to_numpy(canonical_theta(at.factor, roots)), at.value, evaluation, at.decrement);
  return py::cast<bool>(py::bool_(answer));
}

TrustRegionOptions options_of(double tolerance, int max_evaluations) {
  TrustRegionOptions options;
  options.tolerance = tolerance;
  options.max_evaluations = max_evaluations;
  return options;
}

BoundOptimum fit(BoundProblem& problem, bool reml, const std::optional<DenseArray>& start, double tolerance,
                 int max_evaluations, const py::object& callback) {
  std::optional<Vector> from;
  if (start) from = checked_theta(problem, *start, problem.core().theta_size());
  Interrupts interrupts;
  const py::gil_scoped_release release;
  const std::lock_guard lock(problem.mutex());
  const auto roots = problem.core().roots();
  Optimum optimum = problem.core().fit(
      reml, from, options_of(tolerance, max_evaluations),
      [&](const Iteration& at, int evaluation) { return watch(at, evaluation, *roots, callback, interrupts); });
  return {std::move(optimum), roots};
}

BoundSolution solve(BoundProblem& problem, const DenseArray& theta, bool reml) {
  const Vector at = checked_theta(problem, theta, problem.core().theta_size());
  const py::gil_scoped_release release;
  const std::lock_guard lock(problem.mutex());
  std::optional<Solution> solution = problem.core().solve(at, reml);
  if (!solution) throw std::invalid_argument("the criterion does not exist at this theta");
  return {std::move(*solution), reml};
}

py::list conditional_variances(BoundProblem& problem, const DenseArray& theta, bool reml) {
  const Vector at = checked_theta(problem, theta, problem.core().theta_size());
  std::vector<Matrix> blocks;
  {
    const py::gil_scoped_release release;
    const std::lock_guard lock(problem.mutex());
    blocks = problem.core().conditional_variances(at, reml);
  }
  py::list out;
  for (const Matrix& each : blocks) {
    const auto s = static_cast<Index>(std::lround(std::sqrt(static_cast<double>(each.rows()))));
    out.append(DoubleArray({each.cols(), s, s}, each.data()));
  }
  return out;
}

py::dict fit_responses(BoundProblem& problem, const py::array_t<double, py::array::f_style>& y, bool reml,
                       const std::optional<DenseArray>& start, double tolerance, int max_evaluations, int threads) {
  if (y.ndim() != 2 || y.shape(0) != problem.data().n) throw std::invalid_argument("responses must be (n, r)");
  const Index count = y.shape(1);
  std::optional<Vector> from;
  if (start) from = checked_theta(problem, *start, problem.core().theta_size());
  const Index p = problem.core().cross_products().p;
  Matrix theta(problem.core().theta_size(), count), beta(p, count);
  Vector sigma(count), criterion(count);
  std::vector<int> evaluations(static_cast<std::size_t>(count)), status(static_cast<std::size_t>(count));
  const double* values = y.data();
  Interrupts interrupts;
  {
    const py::gil_scoped_release release;
    const std::lock_guard lock(problem.mutex());
    for (Index r = 0; r < count; ++r) require_usable(values + r * problem.data().n, problem.data().n, "y", r);
    constexpr Index block = 16;  // responses of one task, on a copy of the problem
    ThreadPool pool(available_threads(threads));
    pool.run((count + block - 1) / block, [&](Index task) {
      Problem own(problem.core());
      ModelData with = problem.data();
      for (Index r = task * block; r < std::min(count, (task + 1) * block); ++r) {
        interrupts.check();
        with.y = values + r * with.n;
        own.set_response(with);
        const Optimum optimum = own.fit(reml, from, options_of(tolerance, max_evaluations), nullptr);
        const auto at = static_cast<std::size_t>(r);
        theta.col(r) = own.theta_of(optimum.factor);
        const std::optional<Solution> solution = own.solve(theta.col(r), reml);
        criterion[r] = optimum.value;
        sigma[r] = solution ? solution->sigma : std::nan("");
        beta.col(r) = solution ? solution->beta : Vector::Constant(p, std::nan(""));
        evaluations[at] = optimum.evaluations;
        status[at] = static_cast<int>(optimum.status);
      }
    });
  }
  return py::dict("theta"_a = to_numpy(Matrix(theta.transpose())), "beta"_a = to_numpy(Matrix(beta.transpose())),
                  "sigma"_a = to_numpy(sigma), "criterion"_a = to_numpy(criterion),
                  "evaluations"_a = py::array_t<int>(count, evaluations.data()),
                  "status"_a = py::array_t<int>(count, status.data()));
}

py::list describe_blocks(BoundProblem& problem) {
  const CrossProducts& a = problem.core().cross_products();
  py::list out;
  for (std::size_t g = 0; g < a.plan.groups.size(); ++g) {
    const Group& group = a.plan.groups[g];
    out.append(py::dict("factor"_a = group.factor, "levels"_a = group.levels, "effects"_a = group.effects,
                        "stripped"_a = a.plan.has_leaves() ? a.plan.leaves[g].leaves.size() : 0,
                        "role"_a = g == 0 ? "leading" : "trailing",
                        "storage"_a = g == 0 ? "block diagonal" : "Schur complement"));
  }
  if (a.plan.has_trailing())
    out.append(py::dict("role"_a = "Schur complement", "size"_a = a.plan.trailing.size,
                        "storage"_a = a.plan.trailing.is_dense() ? "dense" : "sparse, supernodal",
                        "supernodes"_a = a.plan.trailing.supernodes.size(), "entries"_a = a.plan.trailing.values,
                        "coupling_entries"_a = a.plan.coupling_values, "update_flops"_a = a.plan.update_flops,
                        "factor_flops"_a = a.plan.trailing.flops, "leaf_flops"_a = a.plan.leaf_flops,
                        "unstripped_flops"_a = a.plan.unstripped_flops,
                        "unstripped_storage"_a = a.plan.is_unstripped_dense ? "dense" : "sparse, supernodal"));
  return out;
}

}  // namespace

void register_problem(py::module_& m) {
  py::class_<BoundProblem>(m, "Problem")
      .def(py::init<const DoubleArray&, const py::sequence&, const py::sequence&, const std::vector<Index>&,
                    const py::sequence&, const std::optional<DoubleArray>&, int>(),
           "y"_a.noconvert(), "x"_a, "codes"_a, "levels"_a, "terms"_a, "weights"_a = py::none(), py::kw_only(),
           "threads"_a = 0)
      .def_property_readonly("n", [](BoundProblem& self) { return self.core().cross_products().n; })
      .def_property_readonly("p", [](BoundProblem& self) { return self.core().cross_products().p; })
      .def_property_readonly("kept", [](BoundProblem& self) { return self.core().cross_products().kept; })
      .def_property_readonly("q",
                             [](BoundProblem& self) {
                               Index q = 0;
                               for (const Group& group : self.core().cross_products().plan.groups)
                                 q += group.levels * group.effects;
                               return q;
                             })
      .def_property_readonly("theta_size", [](BoundProblem& self) { return self.core().theta_size(); })
      .def_property_readonly("block_description", describe_blocks)
      .def(
          "criterion",
          [](BoundProblem& self, const DenseArray& theta, bool reml) {
            const Vector at = checked_theta(self, theta, self.core().theta_size());
            const py::gil_scoped_release release;
            const std::lock_guard lock(self.mutex());
            return self.core().criterion(at, reml);
          },
          "theta"_a, "reml"_a)
      .def(
          "gradient",
          [](BoundProblem& self, const DenseArray& theta, bool reml) {
            const Vector at = checked_theta(self, theta, self.core().theta_size());
            Vector slope;
            double value = 0;
            {
              const py::gil_scoped_release release;
              const std::lock_guard lock(self.mutex());
              value = self.core().gradient(at, reml, slope);
            }
            return py::make_tuple(value, to_numpy(slope));
          },
          "theta"_a, "reml"_a)
      .def("moment_theta", [](BoundProblem& self) { return to_numpy(self.core().moment_theta()); })
      .def("solve", solve, "theta"_a, "reml"_a)
      .def("conditional_variances", conditional_variances, "theta"_a, "reml"_a)
      .def("fit", fit, "reml"_a, py::kw_only(), "start"_a = py::none(), "tolerance"_a = 1e-10,
           "max_evaluations"_a = 200, "callback"_a = py::none())
      .def("set_response", &BoundProblem::set_response, "y"_a.noconvert())
      .def("fit_responses", fit_responses, "y"_a, "reml"_a, py::kw_only(), "start"_a = py::none(),
           "tolerance"_a = 1e-10, "max_evaluations"_a = 200, "threads"_a = 0);
}

}  // namespace henderson
