# Writes model_matrix.json: a small table, and for each formula what R's model.matrix makes of it.
# Run in this folder: Rscript model_matrix.R
set.seed(20)
n <- 36
data <- data.frame(
  x = round(rnorm(n), 2), z = round(runif(n, 1, 5), 2),
  a = sample(c("A", "B", "C"), n, TRUE), b = sample(c("x", "y"), n, TRUE), c = sample(c("p", "q", "r"), n, TRUE),
  o = sample(c("lo", "mid", "hi", "top"), n, TRUE), l = sample(c(TRUE, FALSE), n, TRUE), k = sample(1:3, n, TRUE),
  stringsAsFactors = TRUE)
table <- lapply(data, function(column) if (is.factor(column)) as.character(column) else column)
data$o <- factor(as.character(data$o), levels = c("lo", "mid", "hi", "top"), ordered = TRUE)
formulas <- c(
  "1", "0", "x", "a", "0 + a", "0 + a + b", "a * b", "a:b", "0 + a:b", "a:b + b", "0 + a:b + b", "a / b", "a / x", "b / a / c",
  "a * b * c", "(a + b + c)^2", "a * b - a", "x * a", "x:a", "0 + x + a:x", "0 + x:a + b", "o", "0 + o", "o * b", "o:x",
  "l", "l * x", "0 + l", "I(x > 0)", "I(x > 0):b", "poly(x, 2)", "poly(x, 2) * a", "poly(z, degree = 3, raw = TRUE)",
  "log(z) + I(x^2) + I(x + z) + I((x + 1)/2) + exp(x)", "sqrt(z):a + x", "factor(k)", "factor(k) * x",
  "C(a, contr.sum)", "C(a, contr.helmert) * x", "scale(x)", "scale(x, center = FALSE)", "scale(x, scale = FALSE) + scale(z):a",
  "x + z - x", "x * b - x:b + 0", "b + c + c:b", "a %in% b", "b + x:b + a:x:b", "a + b:a:c", "x:z", "x * z * a",
  "I(-x) + I(x %% 2) + I(!l)", "I(z %/% 2)", "I(x > 0 & b == \"x\")", "log(z, base = 2) + I(1e6 * x) + I(0.00001 * x)",
  "as.numeric(l)", "relevel(a, ref = \"B\") * x", "ordered(k)", "factor(k, levels = c(3, 2, 1))", "ifelse(x > 0, 1, 2)", "x:x",
  "a * a", "I(x)^2", "offset(x) + z", "-1 + l + a", "a:b:c", "a:b:c - 1", "c * o", "I(x - mean(x))", "log10(z) + log1p(z) + abs(x)",
  "I(a == \"A\")", "b:l", "x + x:a", "o + o:a", "0 + b:o", "0 + x + z:a + b", "a*b + x*b", "x^2", "(x + a)^2 - 1",
  "-1 + x + 1", "I(2 * x^-1)")
weights <- cbind(1, seq_len(n), sin(seq_len(n)))
matrices <- lapply(formulas, function(text) {
  x <- model.matrix(as.formula(paste("~", text)), data)
  list(formula = text, names = as.list(colnames(x)), sums = crossprod(x, weights))
})
json <- jsonlite::toJSON(list(table = table, matrices = matrices), digits = 12, auto_unbox = TRUE)
writeLines(gsub("},{\"formula\"", "},\n{\"formula\"", json, fixed = TRUE), "model_matrix.json")
