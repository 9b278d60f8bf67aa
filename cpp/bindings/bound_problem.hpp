// The core's problem with the arrays of the caller that it reads.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "bindings/arrays.hpp"
#include "core/problem.hpp"

namespace henderson {

// Throws where a column has a NaN or an infinity, or no square that double precision can hold.
void require_usable(const double* values, Index n, const char* kind, Index index);
[[nodiscard]] int available_threads(int asked);

// The core works on the caller's columns while it builds A, when the response changes, and where digits are lost: they
// are kept alive here.
class BoundProblem {
 public:
  BoundProblem(const DoubleArray& y, const pybind11::sequence& x, const pybind11::sequence& codes,
               const std::vector<Index>& levels, const pybind11::sequence& terms,
               const std::optional<DoubleArray>& weights, int threads,
               const std::optional<std::pair<double, double>>& represented);

  [[nodiscard]] Problem& core() { return *problem_; }
  [[nodiscard]] const Problem& core() const { return *problem_; }
  [[nodiscard]] const ModelData& data() const { return data_; }
  // The same design with no level stripped: what the methods of the posterior covariance work on.
  [[nodiscard]] Problem& unstripped();
  [[nodiscard]] int asked_threads() const { return asked_threads_; }
  [[nodiscard]] std::mutex& mutex() { return mutex_; }

  void set_response(const DoubleArray& y);
  // The problem with these rows too (sign 1) or without them (-1), those that are there tempered to `power` before;
  // none where it has no place for them. It has no rows: what reads them throws.
  [[nodiscard]] std::unique_ptr<BoundProblem> with_rows(const DoubleArray& y, const pybind11::sequence& x,
                                                        const pybind11::sequence& codes,
                                                        const std::vector<Index>& levels,
                                                        const pybind11::sequence& terms,
                                                        const std::optional<DoubleArray>& weights, double sign,
                                                        double power);
  // Throws where the rows are not those of the cross-products.
  void require_rows() const;

 private:
  BoundProblem() = default;
  void read(const DoubleArray& y, const pybind11::sequence& x, const pybind11::sequence& codes,
            const std::vector<Index>& levels, const pybind11::sequence& terms,
            const std::optional<DoubleArray>& weights);
  const double* hold(const DoubleArray& values);
  Column hold_column(const pybind11::handle& column);
  Factor hold_factor(const pybind11::handle& item, Index levels);
  void check() const;

  pybind11::list held_;
  std::optional<DoubleArray> response_;  // the last one that was set
  ModelData data_;
  int asked_threads_ = 0;
  bool has_rows_ = true;
  std::unique_ptr<Problem> problem_;
  std::unique_ptr<Problem> unstripped_;  // made when first asked for, where it differs
  std::mutex mutex_;
};

[[nodiscard]] Vector checked_theta(const BoundProblem& problem, const DenseArray& theta);

// Methods of one topic each, defined in files of their own.
void define_random_effects(pybind11::class_<BoundProblem>& problem);
void define_deviance_parts(pybind11::class_<BoundProblem>& problem);

}  // namespace henderson
