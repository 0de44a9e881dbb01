-- analysis.open_study("outputs/reference").sql(…)
SELECT *
FROM networks
WHERE start = 1
ORDER BY cell;
