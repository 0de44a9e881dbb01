-- analysis.open_study("outputs/ledger").sql(…)
-- 4 queries, to be asked one by one
SELECT cell, activation, init, depth, seed, lr, steps, status, task, classes, coalesce(final_test_accuracy, final_test_r2) AS score, coalesce(final_validation_accuracy, final_validation_r2) AS validation, coalesce(final_train_accuracy, final_train_r2) AS training, final_train_loss, final_test_loss, first_bad_step
FROM cells
WHERE status IN ('ok', 'diverged') AND seed >= 1000 AND CAST(settings->>'$.width' AS DOUBLE) = 64 AND settings->>'$.bias' = 'true' AND CAST(settings->>'$.batch_size' AS DOUBLE) = 128 AND settings->>'$.dtype' = 'float32' AND coalesce(settings->>'$.norm', 'none') = 'none' AND CAST(coalesce(settings->>'$.dropout', '0.0') AS DOUBLE) = 0.0 AND CAST(settings->>'$.data.label_noise' AS DOUBLE) = 0.0 AND settings->>'$.optim.name' = 'sgd' AND CAST(settings->>'$.optim.weight_decay' AS DOUBLE) = 0.0 AND settings->>'$.optim.clip_norm' IS NULL AND settings->>'$.optim.clip_value' IS NULL AND settings->>'$.optim.clip_to_one' IS NULL AND settings->>'$.activation.name' = 'relu' AND (settings->>'$.init.name' = 'xavier_normal' OR settings->>'$.init.name' = 'he_normal') AND CAST(settings->>'$.depth' AS DOUBLE) = 30 AND CAST(settings->>'$.steps' AS DOUBLE) = 1000 AND settings->>'$.data.name' = 'mnist1d' AND (CAST(settings->>'$.optim.lr' AS DOUBLE) = 0.003 OR CAST(settings->>'$.optim.lr' AS DOUBLE) = 0.01 OR CAST(settings->>'$.optim.lr' AS DOUBLE) = 0.03 OR CAST(settings->>'$.optim.lr' AS DOUBLE) = 0.1 OR CAST(settings->>'$.optim.lr' AS DOUBLE) = 0.3)
ORDER BY activation, init, depth, lr, seed, cell;

SELECT cell, activation, init, depth, seed, lr, steps, status, task, classes, coalesce(final_test_accuracy, final_test_r2) AS score, coalesce(final_validation_accuracy, final_validation_r2) AS validation, coalesce(final_train_accuracy, final_train_r2) AS training, final_train_loss, final_test_loss, first_bad_step
FROM cells
WHERE status IN ('ok', 'diverged') AND seed < 1000 AND CAST(settings->>'$.width' AS DOUBLE) = 64 AND settings->>'$.bias' = 'true' AND CAST(settings->>'$.batch_size' AS DOUBLE) = 128 AND settings->>'$.dtype' = 'float32' AND coalesce(settings->>'$.norm', 'none') = 'none' AND CAST(coalesce(settings->>'$.dropout', '0.0') AS DOUBLE) = 0.0 AND CAST(settings->>'$.data.label_noise' AS DOUBLE) = 0.0 AND settings->>'$.optim.name' = 'sgd' AND CAST(settings->>'$.optim.weight_decay' AS DOUBLE) = 0.0 AND settings->>'$.optim.clip_norm' IS NULL AND settings->>'$.optim.clip_value' IS NULL AND settings->>'$.optim.clip_to_one' IS NULL AND settings->>'$.activation.name' = 'relu' AND (settings->>'$.init.name' = 'xavier_normal' OR settings->>'$.init.name' = 'he_normal') AND CAST(settings->>'$.depth' AS DOUBLE) = 30 AND CAST(settings->>'$.steps' AS DOUBLE) = 1000 AND settings->>'$.data.name' = 'mnist1d' AND (CAST(settings->>'$.optim.lr' AS DOUBLE) = 0.003 OR CAST(settings->>'$.optim.lr' AS DOUBLE) = 0.01 OR CAST(settings->>'$.optim.lr' AS DOUBLE) = 0.03 OR CAST(settings->>'$.optim.lr' AS DOUBLE) = 0.1 OR CAST(settings->>'$.optim.lr' AS DOUBLE) = 0.3)
ORDER BY activation, init, depth, lr, seed, cell;

SELECT cell, activation, init, depth, seed, lr, steps, status, task, classes, coalesce(final_test_accuracy, final_test_r2) AS score, coalesce(final_validation_accuracy, final_validation_r2) AS validation, coalesce(final_train_accuracy, final_train_r2) AS training, final_train_loss, final_test_loss, first_bad_step
FROM cells
WHERE status IN ('ok', 'diverged') AND seed < 1000 AND CAST(settings->>'$.width' AS DOUBLE) = 64 AND settings->>'$.bias' = 'true' AND CAST(settings->>'$.batch_size' AS DOUBLE) = 128 AND settings->>'$.dtype' = 'float32' AND coalesce(settings->>'$.norm', 'none') = 'none' AND CAST(coalesce(settings->>'$.dropout', '0.0') AS DOUBLE) = 0.0 AND CAST(settings->>'$.data.label_noise' AS DOUBLE) = 0.0 AND settings->>'$.optim.name' = 'sgd' AND CAST(settings->>'$.optim.weight_decay' AS DOUBLE) = 0.0 AND settings->>'$.optim.clip_norm' IS NULL AND settings->>'$.optim.clip_value' IS NULL AND settings->>'$.optim.clip_to_one' IS NULL AND settings->>'$.activation.name' = 'relu' AND (settings->>'$.init.name' = 'xavier_normal' OR settings->>'$.init.name' = 'he_normal') AND CAST(settings->>'$.depth' AS DOUBLE) = 30 AND CAST(settings->>'$.steps' AS DOUBLE) = 1000 AND settings->>'$.data.name' = 'mnist1d' AND CAST(settings->>'$.optim.lr' AS DOUBLE) = 0.03
ORDER BY activation, init, depth, lr, seed, cell;

SELECT cell, min(step) AS updates
FROM (
SELECT cell, step, avg(batch_loss) OVER recent AS loss, count(batch_loss) OVER recent AS losses
FROM curves WHERE cell IN (… the networks above …)
WINDOW recent AS (PARTITION BY cell ORDER BY step ROWS 19 PRECEDING))
JOIN cells USING (cell)
WHERE losses = 20 AND loss < 0.9 * ln(classes)
GROUP BY cell ORDER BY cell;
