# Reads requests, one a line, fields separated by tabs; answers one line each.
#   load FOLDER NAME:number|integer[:LEVELS] ...   columns as raw little-endian files; LEVELS makes a factor of codes
#   fit FORMULA | refit FORMULA COUNT | small FORMULA   ->   seconds of all fits, criterion and evaluations summed
suppressMessages(library(lme4))
requests <- file("stdin", "r")
say <- function(...) { cat(..., "\n", sep = ""); flush(stdout()) }
quietly <- function(call) suppressMessages(suppressWarnings(call))
total <- function(fits, of) sum(vapply(fits, of, numeric(1)))
column <- function(folder, words) {
  path <- file.path(folder, words[1])
  values <- readBin(path, words[2], file.size(path))
  if (length(words) < 3) return(values)
  structure(values + 1L, levels = as.character(seq_len(as.integer(words[3]))), class = "factor")
}
timed <- function(fit, criteria = function(fits) total(fits, REMLcrit)) {
  begun <- Sys.time()
  fits <- quietly(fit())
  seconds <- as.numeric(Sys.time() - begun, units = "secs")
  say(sprintf("%.6f %.10f %.0f", seconds, criteria(fits), total(fits, function(f) f@optinfo$feval)))
}
refits <- function(formula, count) {
  responses <- paste0("y", seq_len(count))
  first <- quietly(lmer(formula, data))
  of_its_own <- function(fit, name) {  # what REMLcrit says of a refit is not the REML criterion at its theta
    formula[[2]] <- as.name(name)
    lmer(formula, data, devFunOnly = TRUE)(getME(fit, "theta"))
  }
  timed(function() lapply(responses, function(name) refit(first, data[[name]])),
        function(fits) sum(mapply(of_its_own, fits, responses)))
}
invisible(quietly(lmer(Reaction ~ Days + (Days | Subject), sleepstudy)))  # loads what a first fit loads
while (length(line <- readLines(requests, n = 1)) > 0) {
  words <- strsplit(line, "\t", fixed = TRUE)[[1]]
  tryCatch({
    if (words[1] == "load") {
      specs <- strsplit(words[-(1:2)], ":", fixed = TRUE)
      data <- as.data.frame(lapply(specs, function(each) column(words[2], each)))
      names(data) <- vapply(specs, `[`, "", 1)
      invisible(gc())
      say("ok")
    } else {
      formula <- as.formula(words[2])
      if (words[1] == "fit") timed(function() list(lmer(formula, data)))
      if (words[1] == "refit") refits(formula, as.integer(words[3]))
      if (words[1] == "small") {
        tables <- split(data, data$table)
        timed(function() lapply(tables, function(each) lmer(formula, each)))
      }
    }
  }, error = function(e) say("error ", gsub("\n", " ", conditionMessage(e))))
}
