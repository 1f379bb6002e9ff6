# The elastic net of R's ordinalNet on the same rows and penalties: ordinalnet.R ROWS.csv PENALTIES.csv RESULT.csv
# Debian has R (r-base-core); the package is on CRAN: install.packages("ordinalNet").
paths <- commandArgs(TRUE)
rows <- read.csv(paths[1])
penalties <- scan(paths[2], quiet = TRUE)
library(ordinalNet)
X <- as.matrix(rows[, names(rows) != "level"])
before <- proc.time()
fit <- ordinalNet(X, factor(rows$level, ordered = TRUE), family = "cumulative", link = "logit",
                  lambdaVals = penalties, parallelTerms = FALSE, nonparallelTerms = TRUE, warn = FALSE)
spent <- sum((proc.time() - before)[c("user.self", "sys.self")])
write.table(cbind(spent, fit$coefs), paths[3], sep = ",", row.names = FALSE, col.names = FALSE)
