# Reads requests, one a line, fields separated by tabs; answers one line each.
#   version | load PATH FACTOR,FACTOR | fit FORMULA   ->   seconds criterion
suppressMessages({ok <- suppressWarnings(require(lme4, quietly = TRUE))})
requests <- file("stdin", "r")
say <- function(...) { cat(..., "\n", sep = ""); flush(stdout()) }
data <- NULL
while (length(line <- readLines(requests, n = 1)) > 0) {
  words <- strsplit(line, "\t", fixed = TRUE)[[1]]
  tryCatch({
    if (!ok) stop("lme4 is not installed")
    if (words[1] == "version") say(as.character(packageVersion("lme4")))
    if (words[1] == "load") {
      data <- read.csv(words[2], stringsAsFactors = TRUE)
      if (length(words) > 2) for (f in strsplit(words[3], ",")[[1]]) data[[f]] <- factor(data[[f]])
      say("ok")
    }
    if (words[1] == "fit") {
      begun <- proc.time()[["elapsed"]]
      fit <- suppressMessages(suppressWarnings(lmer(as.formula(words[2]), data)))
      seconds <- proc.time()[["elapsed"]] - begun
      say(sprintf("%.4f %.10f", seconds, REMLcrit(fit)))
    }
  }, error = function(e) say("error ", gsub("\n", " ", conditionMessage(e))))
}
