#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include <chrono>
#include <cmath>
#include <mutex>
#include <thread>

#include "bindings/bound_problem.hpp"
#include "bindings/register.hpp"
#include "bindings/results.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace henderson {

namespace {

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
  if (start) from = checked_theta(problem, *start);
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
  const Vector at = checked_theta(problem, theta);
  const py::gil_scoped_release release;
  const std::lock_guard lock(problem.mutex());
  std::optional<Solution> solution = problem.core().solve(at, reml);
  if (!solution) throw std::invalid_argument("the criterion does not exist at this theta");
  return {std::move(*solution), reml};
}

py::list conditional_variances(BoundProblem& problem, const DenseArray& theta, bool reml) {
  const Vector at = checked_theta(problem, theta);
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
  problem.require_rows();
  if (y.ndim() != 2 || y.shape(0) != problem.data().n) throw std::invalid_argument("responses must be (n, r)");
  const Index count = y.shape(1);
  std::optional<Vector> from;
  if (start) from = checked_theta(problem, *start);
  const Index p = problem.core().cross_products().p;
  Matrix theta(problem.core().theta_size(), count), beta(p, count);
  Vector sigma(count), criterion(count);
  std::vector<int> evaluations(static_cast<std::size_t>(count)), status(static_cast<std::size_t>(count));
  std::vector<int> is_singular(static_cast<std::size_t>(count));
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
        for (std::size_t t = 0; t < optimum.ranks.size(); ++t)
          if (optimum.ranks[t] < optimum.factor.lambda[t].rows()) is_singular[at] = 1;
      }
    });
  }
  return py::dict("theta"_a = to_numpy(Matrix(theta.transpose())), "beta"_a = to_numpy(Matrix(beta.transpose())),
                  "sigma"_a = to_numpy(sigma), "criterion"_a = to_numpy(criterion),
                  "evaluations"_a = py::array_t<int>(count, evaluations.data()),
                  "status"_a = py::array_t<int>(count, status.data()),
                  "is_singular"_a = py::array_t<int>(count, is_singular.data()));
}

py::dict describe_lead(const LeadChoice& choice) {
  const auto known = [](double flops) { return flops < 0 ? py::object(py::none()) : py::object(py::float_(flops)); };
  return py::dict("factor"_a = choice.factor, "size"_a = choice.trailing_size, "update_flops"_a = choice.update_flops,
                  "dense_flops"_a = choice.dense_flops, "sparse_flops"_a = known(choice.sparse_flops),
                  "is_dense"_a = choice.is_dense, "is_small"_a = choice.is_small, "is_filled"_a = choice.is_filled,
                  "leaf_flops"_a = choice.leaf_flops, "unstripped_flops"_a = choice.unstripped_flops,
                  "is_unstripped_dense"_a = choice.is_unstripped_dense);
}

// Numbers of the stripped leaves' own blocks and of their couplings.
Index leaf_entries(const EliminationPlan& plan) {
  Index sum = 0;
  for (std::size_t g = 0; g < plan.leaves.size(); ++g)
    sum += plan.leaves[g].values +
           static_cast<Index>(plan.leaves[g].leaves.size()) * triangle_size(plan.groups[g].effects);
  return sum;
}

// The groups in the order of elimination, then the Schur complement, with the leads that were compared.
py::list describe_blocks(BoundProblem& problem) {
  const CrossProducts& a = problem.core().cross_products();
  py::list out, leads;
  for (std::size_t g = 0; g < a.plan.groups.size(); ++g) {
    const Group& group = a.plan.groups[g];
    out.append(py::dict("factor"_a = group.factor, "levels"_a = group.levels, "effects"_a = group.effects,
                        "stripped"_a = a.plan.has_leaves() ? a.plan.leaves[g].leaves.size() : 0,
                        "role"_a = g == 0 ? "leading" : "trailing",
                        "storage"_a = g == 0 ? "block diagonal" : "Schur complement"));
  }
  for (const LeadChoice& choice : a.plan.considered) leads.append(describe_lead(choice));
  if (a.plan.has_trailing())
    out.append(py::dict("role"_a = "Schur complement", "size"_a = a.plan.trailing.size,
                        "storage"_a = a.plan.trailing.is_dense() ? "dense" : "sparse, supernodal",
                        "supernodes"_a = a.plan.trailing.supernodes.size(), "entries"_a = a.plan.trailing.values,
                        "entries_before"_a = a.entries.size(), "leaf_entries"_a = leaf_entries(a.plan),
                        "coupling_entries"_a = a.plan.coupling_values, "update_flops"_a = a.plan.update_flops,
                        "factor_flops"_a = a.plan.trailing.flops, "leads"_a = leads));
  return out;
}

}  // namespace

void register_problem(py::module_& m) {
  py::class_<BoundProblem> problem(m, "Problem");
  problem
      .def(py::init<const DoubleArray&, const py::sequence&, const py::sequence&, const std::vector<Index>&,
                    const py::sequence&, const std::optional<DoubleArray>&, int,
                    const std::optional<std::pair<double, double>>&>(),
           "y"_a.noconvert(), "x"_a, "codes"_a, "levels"_a, "terms"_a, "weights"_a = py::none(), py::kw_only(),
           "threads"_a = 0, "represented"_a = py::none())
      .def_property_readonly("n", [](BoundProblem& self) { return self.core().cross_products().n; })
      .def_property_readonly("p", [](BoundProblem& self) { return self.core().cross_products().p; })
      .def_property_readonly("kept", [](BoundProblem& self) { return self.core().cross_products().kept; })
      .def_property_readonly("q", [](BoundProblem& self) { return self.core().random_size(); })
      .def_property_readonly("theta_size", [](BoundProblem& self) { return self.core().theta_size(); })
      .def_property_readonly("block_description", describe_blocks)
      .def(
          "criterion",
          [](BoundProblem& self, const DenseArray& theta, bool reml) {
            const Vector at = checked_theta(self, theta);
            const py::gil_scoped_release release;
            const std::lock_guard lock(self.mutex());
            return self.core().criterion(at, reml);
          },
          "theta"_a, "reml"_a)
      .def(
          "gradient",
          [](BoundProblem& self, const DenseArray& theta, bool reml) {
            const Vector at = checked_theta(self, theta);
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
      .def("with_rows", &BoundProblem::with_rows, "y"_a.noconvert(), "x"_a, "codes"_a, "levels"_a, "terms"_a,
           "weights"_a = py::none(), py::kw_only(), "sign"_a = 1.0, "power"_a = 1.0)
      .def_property_readonly("observations",
                             [](BoundProblem& self) { return self.core().cross_products().observations; })
      .def_property_readonly("y_deviation",
                             [](BoundProblem& self) {
                               const CrossProducts& a = self.core().cross_products();
                               return std::sqrt(std::max(0.0, a.y_spread) / a.weight);
                             })
      .def("fit_responses", fit_responses, "y"_a, "reml"_a, py::kw_only(), "start"_a = py::none(),
           "tolerance"_a = 1e-10, "max_evaluations"_a = 200, "threads"_a = 0);
  define_random_effects(problem);
  define_deviance_parts(problem);
}

}  // namespace henderson
