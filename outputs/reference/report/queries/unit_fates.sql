-- analysis.open_study("outputs/reference").sql(…)
SELECT cell, activation, init, depth, lr, seed, step, layer, units, dead_units, born_dead_units, revived_units
FROM layers JOIN networks USING (cell)
WHERE training = 1 AND best AND layer < depth
ORDER BY cell, step, layer;
