-- analysis.open_study("outputs/ledger").sql(…)
-- 2 queries, to be asked one by one
SELECT cell, activation, init, depth, seed, lr, steps, status, task, classes, coalesce(final_test_accuracy, final_test_r2) AS score, coalesce(final_validation_accuracy, final_validation_r2) AS validation, coalesce(final_train_accuracy, final_train_r2) AS training, final_train_loss, final_test_loss, first_bad_step
FROM cells
WHERE status IN ('ok', 'diverged') AND seed < 1000 AND CAST(settings->>'$.width' AS DOUBLE) = 64 AND settings->>'$.bias' = 'true' AND CAST(settings->>'$.batch_size' AS DOUBLE) = 128 AND settings->>'$.dtype' = 'float32' AND coalesce(settings->>'$.norm', 'none') = 'none' AND CAST(coalesce(settings->>'$.dropout', '0.0') AS DOUBLE) = 0.0 AND CAST(settings->>'$.data.label_noise' AS DOUBLE) = 0.0 AND settings->>'$.optim.name' = 'sgd' AND CAST(settings->>'$.optim.weight_decay' AS DOUBLE) = 0.0 AND settings->>'$.optim.clip_norm' IS NULL AND settings->>'$.optim.clip_value' IS NULL AND settings->>'$.optim.clip_to_one' IS NULL AND (settings->>'$.activation.name' = 'sigmoid' OR settings->>'$.activation.name' = 'tanh' OR settings->>'$.activation.name' = 'identity') AND (settings->>'$.init.name' = 'torch_default' OR settings->>'$.init.name' = 'xavier_normal' OR settings->>'$.init.name' = 'he_normal' OR settings->>'$.init.name' = 'orthogonal') AND (CAST(settings->>'$.depth' AS DOUBLE) = 8 OR CAST(settings->>'$.depth' AS DOUBLE) = 16 OR CAST(settings->>'$.depth' AS DOUBLE) = 32) AND CAST(settings->>'$.steps' AS DOUBLE) = 0 AND settings->>'$.data.name' = 'mnist1d'
ORDER BY activation, init, depth, lr, seed, cell;

SELECT cell, step, layer, units, signal_grad_rms
FROM layers
WHERE step = 0 AND cell IN (… the networks above …)
ORDER BY cell, step, layer;
