# Writes the marginal means, contrasts and slopes that R's emmeans computes, with what it prints.
#   Rscript make_emmeans.R PACKAGE_DATA_DIR TEST_DATA_DIR OUT.json
# where PACKAGE_DATA_DIR has cake.csv and ratpup.csv, TEST_DATA_DIR sleepstudy.csv; needs (Debian): r-cran-lme4 r-cran-lmertest r-cran-pbkrtest r-cran-emmeans r-cran-jsonlite
suppressMessages({library(lme4); library(lmerTest); library(pbkrtest); library(emmeans); library(jsonlite)})
args <- commandArgs(TRUE)
read <- function(folder, name) read.csv(file.path(folder, paste0(name, ".csv")), stringsAsFactors = TRUE)
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 0.2, rhoend = 1e-9, maxfun = 1e5),
                     calc.derivs = FALSE, check.conv.singular = "ignore")

cake <- read(args[1], "cake")
cake$replicate <- factor(cake$replicate); cake$temperature <- factor(cake$temperature)
ratpup <- read(args[1], "ratpup"); ratpup$Litter <- factor(ratpup$Litter)
sleepstudy <- read(args[2], "sleepstudy"); sleepstudy$Subject <- factor(sleepstudy$Subject)
phases <- sleepstudy[!(sleepstudy$Days == 9 & as.integer(sleepstudy$Subject) %% 3 == 0), c("Reaction", "Subject", "w", "Days")]
phases$phase <- factor(ifelse(phases$Days < 3, "early", ifelse(phases$Days < 7, "middle", "late")), c("early", "middle", "late"))
phases$arm <- factor(ifelse(as.integer(phases$Subject) %% 3 == 1, "a", "b"))

set.seed(20)
cells <- expand.grid(A = factor(c("a1", "a2", "a3")), B = factor(c("b1", "b2", "b3", "b4")), rep = 1:6)
cells <- cells[!(cells$A == "a2" & cells$B == "b3") & !(cells$A == "a3" & cells$B == "b1"), ]
cells <- cells[-sample(nrow(cells), 9), ]
cells$g <- factor(sample(8, nrow(cells), TRUE)); cells$x <- round(rnorm(nrow(cells), 5), 2)
cells$y <- round(as.integer(cells$A) + 0.5 * as.integer(cells$B) + 0.3 * cells$x + rnorm(8)[cells$g] + rnorm(nrow(cells)), 3)

n <- 90
shapes <- data.frame(g = factor(rep(1:10, 9)), t = round(exp(rnorm(n)), 3), x = round(runif(n, 0, 4), 2), z = round(rnorm(n, 3, 2), 2),
                     flag = sample(c(TRUE, FALSE), n, TRUE), k = sample(0:1, n, TRUE, c(0.7, 0.3)), m = sample(c(1, 2, 5), n, TRUE),
                     o = round(runif(n), 2))
shapes$y <- round(with(shapes, 10 + log(t) + 0.3 * x^2 - 0.2 * z + flag + k * m / 4 + o + rnorm(10)[g] + rnorm(n)), 3)

models <- list(
  cake = list(data = "cake", formula = angle ~ recipe * temp + (1 | recipe:replicate)),
  cake_factor = list(data = "cake", formula = angle ~ recipe + temperature + (1 | recipe:replicate)),
  ratpup = list(data = "ratpup", formula = weight ~ Lsize + Treatment * sex + (1 | Litter)),
  sleepstudy = list(data = "sleepstudy", formula = Reaction ~ Days + (Days | Subject)),
  weighted = list(data = "phases", formula = Reaction ~ phase * arm + (1 | Subject), weights = "w"),
  cells = list(data = "cells", formula = y ~ A * B + x + (1 | g)),
  shapes = list(data = "shapes", formula = y ~ log(t) + poly(x, 2) + scale(z) + flag + k * factor(m) + offset(o) + (1 | g)),
  no_offset = list(data = "shapes", formula = y ~ log(t) + poly(x, 2) + scale(z) + flag + k * factor(m) + (1 | g)),
  logged = list(data = "ratpup", formula = log(weight) ~ Treatment + sex + (1 | Litter)))

query <- function(model, specs, by = NULL, at = NULL, weights = NULL, method = NULL, adjust = NULL, trend = NULL)
  list(model = model, specs = specs, by = by, at = at, weights = weights, method = method, adjust = adjust, trend = trend)
treatment <- function(...) query("ratpup", "Treatment", ...)
queries <- list(
  query("cake", "recipe"), query("cake", "recipe", method = "pairwise"), query("cake", "recipe", method = "eff"),
  query("cake", "recipe", by = "temp", at = list(temp = c(175, 200, 225))),
  query("cake", "recipe", by = "temp", at = list(temp = c(175, 200, 225)), method = "pairwise"),
  query("cake", "recipe", trend = "temp"), query("cake", "recipe", trend = "temp", method = "pairwise"),
  query("cake_factor", "temperature"), query("cake_factor", "temperature", method = "pairwise"),
  query("cake_factor", "temperature", method = "poly"), query("cake_factor", "temperature", method = "consec", adjust = "holm"),
  query("cake_factor", c("recipe", "temperature")), query("cake_factor", "1"),
  treatment(), treatment(weights = "proportional"), treatment(weights = "outer"), treatment(weights = "cells"), treatment(weights = "flat"),
  treatment(at = list(Lsize = 10)), treatment(at = list(Lsize = c(8, 14), sex = "Male")), treatment(by = "sex"),
  query("ratpup", c("sex", "Treatment")), query("ratpup", "Lsize", by = "sex", at = list(Lsize = c(6, 12, 18))),
  treatment(method = "pairwise"), treatment(method = "revpairwise", adjust = "bonferroni"), treatment(by = "sex", method = "pairwise"),
  treatment(method = "trt.vs.ctrl"), treatment(method = "trt.vs.ctrl", adjust = "sidak"), treatment(by = "sex", method = "trt.vs.ctrl"),
  treatment(method = "eff"), treatment(method = "eff", adjust = "tukey"), treatment(method = "consec", adjust = "none"),
  treatment(method = "pairwise", adjust = "scheffe"), treatment(method = "pairwise", adjust = "holm"),
  treatment(method = "pairwise", adjust = "mvt"), treatment(method = "trt.vs.ctrl", adjust = "mvt"),
  query("ratpup", c("Treatment", "sex"), method = "pairwise"), query("ratpup", c("Treatment", "sex"), method = "trt.vs.ctrl"),
  query("ratpup", "Treatment", trend = "Lsize"),
  query("sleepstudy", "Days"), query("sleepstudy", "Days", at = list(Days = c(0, 5, 9))),
  query("sleepstudy", "Days", at = list(Days = c(0, 5, 9)), method = "pairwise"), query("sleepstudy", "1", trend = "Days"),
  query("weighted", "phase"), query("weighted", "phase", weights = "proportional"), query("weighted", "phase", weights = "cells"),
  query("weighted", "arm", weights = "cells"), query("weighted", "phase", by = "arm", method = "pairwise"),
  query("cells", "A"), query("cells", "B"), query("cells", "A", weights = "cells"), query("cells", "B", weights = "flat"),
  query("cells", "A", by = "B"), query("cells", "A", by = "B", method = "pairwise"), query("cells", "B", method = "pairwise"),
  query("shapes", "flag"), query("shapes", "k"), query("shapes", "m"), query("shapes", "m", weights = "proportional"),
  query("shapes", "m", by = "k"), query("shapes", c("t", "x"), at = list(t = c(0.5, 2), x = c(1, 3), z = 2, k = 1)),
  query("shapes", "m", method = "pairwise"), query("no_offset", "m", at = list(k = 0.4), trend = "k"), query("no_offset", "1", trend = "z"),
  query("logged", "Treatment"), query("logged", "Treatment", method = "pairwise"))

fit <- function(spec) {
  call <- list(quote(lmerTest::lmer), spec$formula, as.name(spec$data), control = quote(tight))
  if (!is.null(spec$weights)) call$weights <- as.name(spec$weights)
  m <- suppressMessages(eval(as.call(call)))
  for (i in 1:2) { call$start <- getME(m, "theta"); m <- suppressMessages(eval(as.call(call))) }
  m
}
fits <- lapply(models, fit)

answer <- function(q, ddf) {
  m <- fits[[q$model]]
  noted <- FALSE
  given <- q[c("specs", "by", "at", "weights")]
  given <- given[!sapply(given, is.null)]
  function_name <- if (is.null(q$trend)) emmeans else { given$var <- q$trend; emtrends }
  result <- withCallingHandlers(do.call(function_name, c(list(m, lmer.df = ddf), given)), message = function(message) {
    if (grepl("misleading", conditionMessage(message))) noted <<- TRUE
    invokeRestart("muffleMessage") })
  if (!is.null(q$method)) {
    result <- if (is.null(q$adjust)) contrast(result, q$method) else contrast(result, q$method, adjust = q$adjust)
  }
  table <- suppressMessages(as.data.frame(summary(result, infer = c(TRUE, TRUE))))
  labels <- setdiff(names(table), c("estimate", "emmean", "SE", "df", "lower.CL", "upper.CL", "t.ratio", "p.value", names(table)[grepl("trend$", names(table))]))
  value <- setdiff(names(table), c(labels, "SE", "df", "lower.CL", "upper.CL", "t.ratio", "p.value"))
  c(q, list(ddf = ddf, interaction_note = noted, labels = lapply(table[labels], as.character), estimate_name = value,
            estimate = table[[value]], std_error = table$SE, df = table$df, conf_low = table$lower.CL,
            conf_high = table$upper.CL, statistic = table$t.ratio, p_value = table$p.value,
            text = capture.output(suppressMessages(print(result)))))
}
answers <- list()
for (q in queries) for (ddf in c("satterthwaite", "kenward-roger")) {
  if (q$model == "weighted" && ddf == "kenward-roger") next  # pbkrtest ignores prior weights
  set.seed(1)
  answers[[length(answers) + 1]] <- answer(q, ddf)
}
tests <- lapply(fits[c("ratpup", "cake_factor", "weighted")], function(m) {
  terms <- as.data.frame(joint_tests(m, lmer.df = "satterthwaite"))
  wald <- as.data.frame(anova(m, type = 3))[terms[["model term"]], ]  # joint_tests rounds F and takes the smallest df
  list(term = terms[["model term"]], df1 = terms$df1, statistic = wald[["F value"]], df2 = wald$DenDF)
})
described <- lapply(names(models), function(name) list(data = models[[name]]$data, formula = deparse(models[[name]]$formula, 200),
  weights = models[[name]]$weights, theta = I(unname(getME(fits[[name]], "theta")))))
names(described) <- names(models)
tables <- lapply(list(phases = phases, cells = cells, shapes = shapes), function(d) lapply(d, function(column) if (is.factor(column)) as.character(column) else column))
write(toJSON(list(models = described, tables = tables, answers = answers, joint_tests = tests), digits = NA, auto_unbox = TRUE, null = "null", na = "null"),
      args[3])
